# The module in whole systems of NixOS, with nixpkgs' own `lib` and `nixos/`.
#
# `tree` is a directory with both; `words` a file with every word that a file of its `nixos/` has, as a JSON list.
{ tree, words }:
let
  lib = import (tree + "/lib");
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
  # What a system is made of, and what of it is agentbox'.
  shown = evaluated: {
    derivation = evaluated.config.system.build.toplevel.drvPath;
    configuration =
      if evaluated.config.services.agentbox.enable then evaluated.config.services.agentbox.content else null;
  };
in
{
  inherit shown system machine module tests;
}
