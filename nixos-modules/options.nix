# docs/options.md names the options that the module has with this nixpkgs, and no others.
{ pkgs, library }:
let
  options = import ./tests/options.nix { inherit library; };
  names = pkgs.lib.concatMapStrings (option: option.name + "\n") options;
in
pkgs.runCommand "agentbox-options" { } ''
  sed --quiet 's/^### `\(.*\)`$/\1/p' ${../docs/options.md} > documented
  printf %s ${pkgs.lib.escapeShellArg names} > evaluated
  diff documented evaluated
  touch $out
''
