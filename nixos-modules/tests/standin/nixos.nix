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
  # Of agenix and sops-nix: names of secrets, and where each will lie.
  secretsBelow =
    directory:
    mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule (
          { name, ... }:
          {
            options.path = mkOption {
              type = types.str;
              default = "${directory}/${name}";
            };
            options.file = mkOption {
              type = types.nullOr types.path;
              default = null;
            };
          }
        )
      );
    };
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
    };
    meta = open;
    age.secrets = secretsBelow "/run/agenix";
    sops.secrets = secretsBelow "/run/secrets";
    sops.defaultSopsFile = mkOption {
      type = types.nullOr types.path;
      default = null;
    };
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
    security.lsm = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    users.users = open;
    users.groups = open;
  };
}
