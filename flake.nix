{
  description = "Runs AI coding agents in sessions that are held";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      forAllSystems =
        f:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: f nixpkgs.legacyPackages.${system});
      packageFor = pkgs: pkgs.callPackage ./nixos-modules/package.nix { };
    in
    {
      packages = forAllSystems (pkgs: rec {
        agentbox = packageFor pkgs;
        default = agentbox;
        # The tests, and what demonstrates.
        suite = import ./nixos-modules/suite.nix { inherit agentbox; };
      });

      overlays.default = final: _: { agentbox = packageFor final; };

      nixosModules = rec {
        agentbox =
          { pkgs, ... }:
          {
            imports = [ ./nixos-modules ];
            services.agentbox.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.agentbox;
          };
        default = agentbox;
      };

      checks = forAllSystems (
        pkgs:
        let
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
          # What the package is built of, looked at instead.
          lint =
            name: tools: command:
            packages.agentbox.overrideAttrs (package: {
              pname = "agentbox-${name}";
              nativeBuildInputs = package.nativeBuildInputs ++ tools;
              buildPhase = command;
              installPhase = "touch $out";
              dontFixup = true;
            });
        in
        {
          package = packages.agentbox;
          clippy = lint "clippy" [ pkgs.clippy ] "cargo clippy --workspace --all-targets -- --deny warnings";
          fmt = lint "fmt" [ pkgs.rustfmt ] "cargo fmt --all --check";
          options = import ./nixos-modules/options.nix {
            inherit pkgs;
            library = nixpkgs + "/lib";
          };
        }
        // import ./tests-vm {
          inherit pkgs;
          inherit (packages) agentbox suite;
          module = ./nixos-modules;
        }
      );

      apps = forAllSystems (
        pkgs:
        let
          package = self.packages.${pkgs.stdenv.hostPlatform.system}.agentbox;
          demonstration = self.checks.${pkgs.stdenv.hostPlatform.system}.demonstration;
        in
        rec {
          # In a virtual machine: nothing of the one that it is typed on is touched.
          demo = {
            type = "app";
            program = lib.getExe' demonstration.driver "nixos-test-driver";
            meta.description = "A session at work, then attacked";
          };
          agentboxctl = {
            type = "app";
            program = lib.getExe' package "agentboxctl";
            meta.description = "The command line of agentbox";
          };
          default = agentboxctl;
        }
      );

      formatter = forAllSystems (pkgs: pkgs.nixfmt-tree);

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.rustc
            pkgs.rustfmt
            pkgs.nftables
            pkgs.llvmPackages.clang-unwrapped
            pkgs.libbpf
          ];
        };
      });
    };
}
