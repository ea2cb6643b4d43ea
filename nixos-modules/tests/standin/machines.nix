# A machine of a configuration, as `pkgs.nixos` makes one.
{ lib, pkgs }:
configuration:
let
  evaluated = lib.evalModules {
    modules = [
      ./nixos.nix
      ./machine.nix
      configuration
    ];
    specialArgs = { inherit pkgs; };
  };
  failed = lib.filter (a: !a.assertion) evaluated.config.assertions;
in
if failed != [ ] then throw (lib.concatMapStringsSep "\n" (a: a.message) failed) else evaluated
