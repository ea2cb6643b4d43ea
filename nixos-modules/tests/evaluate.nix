# Evaluates the module with one configuration: what is put into /etc, or the messages of what was refused.
#
# `library` is a nixpkgs' lib, by default the stand-in beside this file; `system` an eval-config.nix of a whole
# nixpkgs, where there is one.
{
  library ? ./standin/lib.nix,
  case,
  kind ? "accepted",
  # A file with a configuration, instead of a case.
  file ? null,
}:
let
  lib = import library;
  stub = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    pname = name;
    meta.mainProgram = name;
  };
  value =
    (lib.types.nullOr (
      lib.types.oneOf [
        lib.types.bool
        lib.types.int
        lib.types.str
        (lib.types.attrsOf value)
        (lib.types.listOf value)
      ]
    ))
    // {
      description = "JSON value";
    };
  pkgs = {
    agentbox = stub "agentbox";
    formats.json = _: {
      type = value;
      generate = name: content: stub name // { inherit content; };
    };
    # The build step refuses what `agentboxctl check` refuses; here the caller does that.
    runCommand =
      name: _: script:
      stub name // { inherit script; };
  };
  cases = import (./. + "/${kind}.nix") { inherit lib; };
  evaluated = lib.evalModules {
    modules = [
      ./standin/nixos.nix
      ../default.nix
      (if file != null then import file else cases.${case}.config or cases.${case})
    ];
    specialArgs = { inherit pkgs; };
  };
  inherit (evaluated) config;
  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
in
if failed != [ ] then
  throw "Failed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
else
  {
    configuration = if config.services.agentbox.enable then config.services.agentbox.content else null;
    etc = lib.attrNames config.environment.etc;
    units = lib.attrNames config.systemd.services;
    lsm = config.security.lsm;
  }
