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
  pkgs = import ./standin/pkgs.nix { inherit lib; };
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
