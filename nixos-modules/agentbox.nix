# services.agentbox: sessions of AI coding agents, held by what is declared here.
#
# The unit, the bus policy, the polkit actions and the rest are files of the package, the same as on other
# distributions. This module says what is NixOS': the configuration from options, checked while the system
# is built, and what of the system has to be there. It opens no port and forwards nothing.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib) mkIf mkOption types;

  cfg = config.services.agentbox;
  schema = import ./schema.nix { inherit lib; };
  json = pkgs.formats.json { };

  # Options by the key of the configuration that each of them writes. Whatever is not renamed here is
  # named as the key.
  names = {
    default_posture = [ "defaultPosture" ];
    profile = [ "profiles" ];
    project = [ "projects" ];
    posture = [ "postures" ];
    uid_range = [ "uidRange" ];
    resolvers = [
      "network"
      "upstreamResolvers"
    ];
  };
  # What the module itself says.
  own = [ "said_as" ];
  path = key: names.${key} or [ key ];
  keys = lib.filter (key: !lib.elem key own) schema.system;

  # What was set: absent is not the same as empty, a list that is absent limits nothing.
  set =
    value:
    if lib.isAttrs value then
      lib.mapAttrs (_: set) (lib.filterAttrs (_: v: v != null) value)
    else
      value;

  declared = lib.filterAttrs (_: v: v != null && v != { }) (
    lib.listToAttrs (map (key: lib.nameValuePair key (lib.attrByPath (path key) null cfg)) keys)
  );
  # `explain` and refusals name the option that says so.
  saidAs = lib.listToAttrs (
    map (key: lib.nameValuePair key (lib.concatStringsSep "." ([ "services" "agentbox" ] ++ path key))) keys
  );
  twice = lib.filter (key: cfg.settings ? ${key}) (lib.attrNames declared);
  # A drop-in by hand is still called by its file and key.
  content =
    set declared // cfg.settings // { said_as = lib.filterAttrs (key: _: declared ? ${key}) saidAs; };

  file = json.generate "agentbox.json" content;
  # A configuration that the supervisor would refuse is refused here, before anything is switched to it.
  checked = pkgs.runCommand "agentbox-checked.json" { } ''
    cp ${file} agentbox.json
    ${lib.getExe' cfg.package "agentboxctl"} check --system agentbox.json
    cp agentbox.json $out
  '';
in
{
  options.services.agentbox =
    lib.foldl' lib.recursiveUpdate
      {
        enable = lib.mkEnableOption "agentbox, which runs AI coding agents in sessions that are held";

        package = lib.mkPackageOption pkgs "agentbox" { };

        kernelGuard = mkOption {
          type = types.bool;
          default = true;
          description = ''
            Whether the kernel's `bpf` security module is switched on, so that names which make a program of the
            host act later are refused in projects that a session changes in place. Takes effect with the next boot.
            Where `security.lsm` has it anyway, as NixOS does by default, switching this off changes nothing: `guard`
            of a posture says whether sessions use it.
          '';
        };

        configFile = mkOption {
          type = types.path;
          readOnly = true;
          default = checked;
          defaultText = lib.literalMD "the configuration as JSON, checked by `agentboxctl check`";
          description = "The generated configuration, `/etc/agentbox/agentbox.json`.";
        };

        content = mkOption {
          type = types.attrsOf types.anything;
          internal = true;
          readOnly = true;
          default = content;
          description = "The generated configuration before it is written.";
        };

        settings = mkOption {
          inherit (json) type;
          default = { };
          example = lib.literalExpression ''{ floor.isolation = "sandbox"; }'';
          description = ''
            Keys of the configuration as they stand in its file, for what no option here writes. A key that an
            option writes as well is refused.
          '';
        };
      }
      (map (key: lib.setAttrByPath (path key) (schema.option key)) keys);

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = twice == [ ];
        message = "services.agentbox.settings: `${lib.concatStringsSep "`, `" twice}` is also set by ${
          lib.concatMapStringsSep ", " (key: "services.agentbox.${lib.concatStringsSep "." (path key)}") twice
        }; keep one of them.";
      }
      {
        assertion = !(cfg.settings ? said_as);
        message = "services.agentbox.settings.said_as: it is written by the module.";
      }
      {
        assertion = lib.all (user: config.users.users ? ${user}) (if cfg.users == null then [ ] else cfg.users);
        message = "services.agentbox.users: `${
          lib.concatStringsSep "`, `" (lib.filter (user: !(config.users.users ? ${user})) (if cfg.users == null then [ ] else cfg.users))
        }` is no user of users.users; a name that nobody has would be given to whoever gets it.";
      }
    ]
    ++ lib.mapAttrsToList (name: project: {
      assertion = project.profile == null || cfg.profiles ? ${project.profile} || lib.hasAttrByPath [ "profile" project.profile ] cfg.settings;
      message = "services.agentbox.projects.${name}.profile: there is no services.agentbox.profiles.${toString project.profile}.";
    }) cfg.projects;

    environment.etc."agentbox/agentbox.json".source = cfg.configFile;
    environment.systemPackages = [ cfg.package ];

    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    services.dbus.packages = [ cfg.package ];
    security.polkit.enable = true;

    systemd.services.agentboxd = {
      wantedBy = [ "multi-user.target" ];
      # Sessions outlive a reload: what was tightened holds at once, the rest waits for the next start.
      reloadTriggers = [ cfg.configFile ];
      # A restart would end nothing either, but the new supervisor would have to find every session again.
      stopIfChanged = false;
    };

    users.groups.agentbox = { };

    # Behind those of others: AppArmor does not load after it. A name that is listed twice is taken once.
    security.lsm = mkIf cfg.kernelGuard (lib.mkAfter [ "bpf" ]);
  };

  meta.maintainers = [ ];
}
