# Evaluates the outputs of a flake with stand-ins for its inputs: the names of what it has.
{
  library ? ./standin/lib.nix,
  file,
}:
let
  lib = import library;
  system = arguments: arguments;
  nixpkgs = {
    lib = lib // {
      nixosSystem = system;
    };
    legacyPackages.x86_64-linux.stdenv.hostPlatform.system = "x86_64-linux";
  };
  inputs = {
    inherit nixpkgs;
    self = outputs;
    agentbox.nixosModules.default = { };
    deploy-rs.lib.x86_64-linux.activate.nixos = host: host;
  };
  # Nix passes what is asked for.
  function = (import file).outputs;
  outputs = function (builtins.intersectAttrs (builtins.functionArgs function) inputs);
in
lib.mapAttrs (_: lib.attrNames) outputs
# What a system has is worth more than its name.
// lib.optionalAttrs (outputs ? checks) { checks = lib.attrNames outputs.checks.x86_64-linux; }
// lib.optionalAttrs (outputs ? apps) { apps = lib.attrNames outputs.apps.x86_64-linux; }
