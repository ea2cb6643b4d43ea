# The packages and functions of nixpkgs that the module and the tests name; nothing is built.
{
  lib,
  system ? "x86_64-linux",
}:
let
  stub =
    name:
    derivation {
      inherit name system;
      builder = "/bin/false";
    }
    // {
      pname = name;
      meta.mainProgram = name;
    };
  value =
    (lib.types.nullOr (
      lib.types.oneOf [
        lib.types.bool
        lib.types.int
        lib.types.str
        (lib.types.attrsOf value)
        (lib.types.listOf value)
      ]
    ))
    // {
      description = "JSON value";
    };
in
lib.genAttrs [
  "agentbox"
  "bash"
  "coreutils"
  "curl"
  "gcc"
  "git"
  "gnumake"
  "iproute2"
  "iptables"
  "less"
  "nftables"
  "openssh"
  "openssl"
  "procps"
  "python3"
  "suite"
  "util-linux"
  "vim"
] stub
// {
  inherit lib stub;
  formats.json = _: {
    type = value;
    generate = name: content: stub name // { inherit content; };
  };
  # The build step refuses what `agentboxctl check` refuses; here the caller does that.
  runCommand =
    name: _: script:
    stub name // { inherit script; };
}
