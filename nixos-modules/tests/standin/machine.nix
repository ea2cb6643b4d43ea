# What tests of whole machines set besides, for evaluating them where no nixpkgs is at hand.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  open = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
in
{
  options = {
    networking = open;
    services.nscd = open;
    specialisation = open;
    systemd.tmpfiles.rules = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    virtualisation = open;
  };
}
