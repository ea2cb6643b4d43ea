# Of agenix and sops-nix: names of secrets, and where each will lie.
{ lib, ... }:
let
  inherit (lib) mkOption types;
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
    age.secrets = secretsBelow "/run/agenix";
    sops.secrets = secretsBelow "/run/secrets";
    sops.defaultSopsFile = mkOption {
      type = types.nullOr types.path;
      default = null;
    };
  };
}
