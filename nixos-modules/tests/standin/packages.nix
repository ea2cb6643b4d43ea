# What `import nixpkgs { system = …; }` gives: the packages, and what this repository builds with.
{ system, ... }:
let
  lib = import ./lib.nix;
  pkgs = import ./pkgs.nix { inherit lib system; };
  inherit (pkgs) stub;
  # What is said of a package is text that can be built from; the rest has to be a package.
  package =
    given:
    let
      builds = map toString (given.nativeBuildInputs or [ ] ++ given.buildInputs or [ ]);
      made = derivation (
        {
          name = given.pname;
          inherit system;
          builder = "/bin/false";
          source = toString given.src;
          inherit builds;
          inherit (given) buildPhase installPhase;
        }
        // given.env
      );
    in
    made
    // given
    // {
      overrideAttrs = change: package (given // (if lib.isFunction change then change given else change));
    };
  self =
    pkgs
    // lib.genAttrs [
      "cargo"
      "clippy"
      "glibc-static"
      "libbpf"
      "linuxHeaders"
      "nixfmt-tree"
      "rustc"
      "rustfmt"
    ] stub
    // {
      inherit system;
      callPackage = file: given: import file (builtins.intersectAttrs (builtins.functionArgs (import file)) self // given);
      llvmPackages.clang-unwrapped = stub "clang";
      rustPlatform.buildRustPackage = package;
      stdenv = {
        hostPlatform = { inherit system; };
        cc.libc.static = stub "glibc-static";
      };
      mkShell = given: stub "shell" // { tools = map toString given.packages; };
      nixos = import ./machines.nix { inherit lib pkgs; };
      testers = {
        testBuildFailure = built: built;
        runNixOSTest =
          test:
          let
            evaluated = lib.evalModules {
              modules = [
                ./test.nix
                test
              ];
              specialArgs = { inherit (pkgs) suite; };
            };
          in
          stub evaluated.config.name // { driver = stub "nixos-test-driver"; };
      };
    };
in
self
