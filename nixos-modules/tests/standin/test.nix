# The options of a test of NixOS.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    name = mkOption { type = types.str; };
    globalTimeout = mkOption {
      type = types.ints.positive;
      # What nixpkgs has.
      default = 3600;
    };
    testScript = mkOption { type = types.str; };
    nodes = mkOption { type = types.lazyAttrsOf types.deferredModule; };
    defaults = mkOption { type = types.deferredModule; };
  };
}
