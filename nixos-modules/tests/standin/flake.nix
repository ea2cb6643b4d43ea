{
  description = "Stands in for nixpkgs where it cannot be had: enough to evaluate the flake of agentbox, nothing to build";

  outputs = _: {
    lib = import ./lib.nix;
    legacyPackages =
      builtins.mapAttrs
        (
          system: _:
          import ./packages.nix { inherit system; }
        )
        {
          x86_64-linux = null;
          aarch64-linux = null;
        };
  };
}
