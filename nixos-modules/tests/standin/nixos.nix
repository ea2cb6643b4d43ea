# The options of NixOS that the module sets, for evaluating it where no nixpkgs is at hand.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  open = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
  packages = mkOption {
    type = types.listOf types.anything;
    default = [ ];
  };
in
{
  imports = [
    ./lsm.nix
    ./secrets.nix
  ];

  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
    };
    meta = open;
    environment.etc = open;
    environment.systemPackages = packages;
    systemd.packages = packages;
    systemd.tmpfiles.packages = packages;
    systemd.services = open;
    services.dbus.packages = packages;
    security.polkit.enable = mkOption {
      type = types.bool;
      default = false;
    };
    users.users = open;
    users.groups = open;
  };
}
