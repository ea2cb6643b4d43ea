# The kernel's security modules, as NixOS has them since 25.05: these are there without anybody's doing.
{ lib, ... }:
{
  options.security.lsm = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
  };
  config.security.lsm = [
    "landlock"
    "yama"
    "bpf"
  ];
}
