# Evaluates the outputs of a flake with stand-ins for its inputs: the names of what it has.
{
  library ? ./standin/lib.nix,
  file,
}:
let
  lib = import library;
  system = arguments: arguments;
  nixpkgs = {
    # What `import nixpkgs` reads.
    outPath = toString ./standin/packages.nix;
    lib = lib // {
      nixosSystem = system;
    };
    legacyPackages = lib.genAttrs [
      "x86_64-linux"
      "aarch64-linux"
    ] (system: import ./standin/packages.nix { inherit system; });
  };
  inputs = {
    inherit nixpkgs;
    self = outputs;
    agentbox.nixosModules.default = { };
    # As they are documented: a hive has `meta.nixpkgs`, and every node has modules.
    colmena.lib.makeHive =
      hive:
      assert hive.meta.nixpkgs.stdenv.hostPlatform.system != "";
      lib.mapAttrs (
        name: node:
        assert name == "meta" || (node.imports != [ ] && node.deployment.targetHost != "");
        node
      ) hive;
    deploy-rs.lib.x86_64-linux = {
      activate.nixos = host: host;
      deployChecks = deploy: lib.mapAttrs (_: node: node.profiles.system.path) deploy.nodes;
    };
  };
  # Nix passes what is asked for.
  function = (import file).outputs;
  outputs = function (builtins.intersectAttrs (builtins.functionArgs function) inputs);
in
lib.mapAttrs (_: lib.attrNames) outputs
# What a system has is worth more than its name.
// lib.optionalAttrs (outputs ? checks) { checks = lib.attrNames outputs.checks.x86_64-linux; }
// lib.optionalAttrs (outputs ? apps) { apps = lib.attrNames outputs.apps.x86_64-linux; }
