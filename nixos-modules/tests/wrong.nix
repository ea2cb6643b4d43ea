# A value of the wrong type for every option: which are refused; or, for one `option`, the refusal.
{
  library ? ./standin/lib.nix,
  option ? null,
}:
let
  lib = import library;
  pkgs = import ./standin/pkgs.nix { inherit lib; };
  options = import ./options.nix { inherit library; };
  # What is written by the module alone.
  own = [ "services.agentbox.configFile" ];
  # By what a type says of itself: a value that is just outside of it.
  outside =
    type:
    let
      of = word: lib.hasInfix word type;
      items = lib.removePrefix "null or list of " type;
    in
    if items != type then
      [ (outside items) ]
    else if type == "attribute set of string" then
      { name = 1; }
    else if of "submodule" then
      "text"
    else if of "integer between" then
      0 - 1
    else if of "one of" then
      "none-of-these"
    else if of "matching the pattern" then
      ""
    else if of "JSON value" then
      (x: x)
    else
      1.5;
  given =
    { name, type, ... }:
    let
      path = lib.splitString "." (builtins.replaceStrings [ "<name>" ] [ "some" ] name);
      evaluated = lib.evalModules {
        modules = [
          ./standin/nixos.nix
          ../default.nix
          (lib.setAttrByPath path (outside type))
        ];
        specialArgs = { inherit pkgs; };
      };
      value = lib.attrByPath (lib.take 3 path) null evaluated.config;
    in
    builtins.deepSeq value name;
  judged = lib.filter (entry: !lib.elem entry.name own) options;
in
if option != null then
  given (lib.head (lib.filter (entry: entry.name == option) judged))
else
  map (entry: {
    inherit (entry) name type;
    refused = !(builtins.tryEval (given entry)).success;
  }) judged
