# Evaluates every test of tests-vm on the stand-in: its script, its parts, and the configuration of each machine.
{
  library ? ./standin/lib.nix,
}:
let
  lib = import library;
  nixos = import ./standin/machines.nix { inherit lib pkgs; };
  machine = modules: (nixos { imports = modules; }).config;
  # Its configuration, and those that it can be switched to.
  contents =
    modules:
    let
      config = machine modules;
    in
    [ config.services.agentbox.content ]
    ++ map (other: (machine (modules ++ [ other.configuration ])).services.agentbox.content) (
      lib.attrValues config.specialisation
    );
  test =
    module:
    let
      evaluated = lib.evalModules {
        modules = [
          ./standin/test.nix
          module
        ];
        specialArgs = { inherit (pkgs) suite; };
      };
      inherit (evaluated) config;
    in
    {
      inherit (config)
        name
        globalTimeout
        testScript
        parts
        ;
      nodes = lib.mapAttrs (
        _: node:
        contents [
          config.defaults
          node
        ]
      ) config.nodes;
    };
  pkgs = import ./standin/pkgs.nix { inherit lib; } // {
    testers.runNixOSTest = module: test (removeAttrs module [ "_module" ]);
    testers.testBuildFailure = drv: drv;
    inherit nixos;
  };
  all = import ../../tests-vm {
    inherit pkgs;
    inherit (pkgs) agentbox suite;
    module = ../default.nix;
  };
  case = import ../../tests-vm/bad-policy-refused-at-build.nix;
  isTest = found: found ? testScript;
in
{
  tests = lib.filterAttrs (_: isTest) all;
  builds = lib.mapAttrs (_: found: found.script) (lib.filterAttrs (_: found: !isTest found) all);
  refused = {
    inherit (case) message;
    accepted = lib.head (contents [
      ../default.nix
      case.accepted
    ]);
    refused = lib.head (contents [
      ../default.nix
      case.refused
    ]);
  };
}
