# The module in whole systems of NixOS and in tests of them, with nixpkgs' own `lib` and `nixos/`.
{
  # A directory with both.
  library,
  # A file with every word that a file of its `nixos/` has, as a JSON list.
  words,
  # `accepted` or `refused` and the name of a case; `file` and a configuration; `test` and the name of a test.
  kind,
  case ? "",
  file ? null,
}:
let
  lib = import library;
  tree = dirOf library;
  module = ../../default.nix;
  pkgs = import ./pkgs.nix {
    inherit lib tree;
    words = [
      "agentbox"
      "suite"
    ]
    ++ known;
  };
  known = builtins.fromJSON (builtins.readFile words);
  # What examples name and NixOS has not: agenix and sops-nix; before NixOS 25.05 the list of security modules.
  others = {
    imports = [ ../standin/secrets.nix ] ++ lib.optional (!lib.elem "lsm" known) ../standin/lsm.nix;
  };
  machine = {
    boot.loader.grub.enable = false;
    fileSystems."/".device = "/dev/vda";
    documentation.enable = false;
    system.stateVersion = lib.trivial.release;
  };
  system =
    modules:
    import (tree + "/nixos/lib/eval-config.nix") {
      inherit lib pkgs;
      system = null;
      modules = [ others ] ++ modules;
    };
  nixos = import (tree + "/nixos/lib") { inherit lib; };
  tests = import ../../../tests-vm {
    pkgs = pkgs // {
      nixos = configuration: system [ machine configuration ];
      testers.testBuildFailure = built: built;
      testers.runNixOSTest =
        test:
        nixos.runTest {
          imports = [ test ];
          hostPkgs = pkgs;
          node = { inherit pkgs; };
          extraBaseModules = others;
        };
    };
    inherit (pkgs) agentbox suite;
    inherit module;
  };
  cases = import (../. + "/${kind}.nix") { inherit lib; };
  configuration = if kind == "file" then import file else cases.${case}.config or cases.${case};
  # All of a system is evaluated for the name of what would build it.
  shown =
    evaluated:
    let
      inherit (evaluated) config;
    in
    {
      derivation = config.system.build.toplevel.drvPath;
      configuration = if config.services.agentbox.enable then config.services.agentbox.content else null;
      opened = {
        inherit (config.networking.firewall)
          allowedTCPPorts
          allowedTCPPortRanges
          allowedUDPPorts
          allowedUDPPortRanges
          extraCommands
          trustedInterfaces
          ;
        sysctl = lib.filterAttrs (name: _: lib.hasInfix "forward" name) config.boot.kernel.sysctl;
      };
    };
  test = tests.${case};
in
if kind != "test" then
  shown (system [
    machine
    module
    configuration
  ])
else
  {
    derivation = test.drvPath;
    # Of a test that builds there is no more.
    script = test.config.testScriptString or null;
    nodes = lib.mapAttrs (_: node: node.services.agentbox.content) (test.nodes or { });
  }
