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

      checks = forAllSystems (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.agentbox;
      });

      apps = forAllSystems (
        pkgs:
        let
          package = self.packages.${pkgs.stdenv.hostPlatform.system}.agentbox;
        in
        rec {
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
