# Options from the JSON schema of the configuration.
#
# `schema.json` is what `agentboxctl schema` prints; a test compares the two. So every key of the
# configuration is an option here, with its type and its description, and none has to be written twice.
{ lib }:

let
  inherit (lib) mkOption types;

  schema = lib.importJSON ./schema.json;

  # What a `$ref` names, with what is said beside it.
  deref =
    s:
    if s ? "$ref" then
      removeAttrs s [ "$ref" ] // schema."$defs".${lib.removePrefix "#/$defs/" s."$ref"}
    else
      s;

  isNull = s: s.type or null == "null";

  # Patterns of the schema are ECMA-262, those of Nix POSIX: only what both read alike is used. The rest
  # is left to `agentboxctl check`, which reads every generated file before it is installed.
  text =
    s:
    let
      pattern = s.pattern or "\\";
      body = lib.removeSuffix "$" (lib.removePrefix "^" pattern);
      whole = lib.hasSuffix "$" pattern;
    in
    if lib.hasInfix "\\" pattern || lib.hasInfix "[:" pattern then
      types.str
    else
      types.strMatching (if whole then body else "(${body}).*");

  number =
    s:
    types.ints.between (s.minimum or 0) (
      # Nix has 64 bits with a sign.
      lib.min 9223372036854775807 (s.maximum or 9223372036854775807)
    );

  object =
    s:
    let
      others = lib.attrValues (s.patternProperties or { });
      freeform = types.attrsOf (typeOf (lib.head others));
    in
    if s ? properties && s.properties != { } then
      types.submodule (
        {
          options = lib.mapAttrs optionOf s.properties;
        }
        // lib.optionalAttrs (others != [ ]) { freeformType = freeform; }
      )
    else if others != [ ] then
      freeform
    else
      types.attrsOf (typeOf (s.additionalProperties or { type = "string"; }));

  typeOf =
    written:
    let
      s = deref written;
      alternatives = lib.filter (a: !isNull (deref a)) (s.anyOf or s.oneOf or [ ]);
      constants = lib.all (a: (deref a) ? const) alternatives;
      plain = lib.filter (t: t != "null") (lib.toList (s.type or [ ]));
      kind = if plain == [ ] then null else lib.head plain;
    in
    if alternatives != [ ] then
      if constants then types.enum (map (a: (deref a).const) alternatives) else types.oneOf (map typeOf alternatives)
    else if s ? enum then
      types.enum (lib.filter (v: v != null) s.enum)
    else if kind == "string" then
      text s
    else if kind == "integer" then
      number s
    else if kind == "boolean" then
      types.bool
    else if kind == "array" then
      types.listOf (typeOf s.items)
    else if kind == "object" then
      object s
    else
      throw "agentbox: schema.json has a type that schema.nix does not know: ${builtins.toJSON s}";

  # The words of an enumeration are worth reading in the reference.
  meanings =
    s:
    let
      constants = lib.filter (a: a ? const && a ? description) (map deref ((deref s).oneOf or [ ]));
    in
    lib.concatMapStrings (c: "\n* `${c.const}`: ${c.description}") constants;

  named = s: (deref s) ? patternProperties && !((deref s) ? properties);

  optionOf =
    _: s:
    let
      some = lib.filter (a: !isNull (deref a)) (s.anyOf or [ ]);
      value = if lib.length some == 1 then lib.head some else s;
    in
    mkOption (
      {
        description = (s.description or (deref value).description or "") + lib.optionalString (meanings value != "") "\n${meanings value}";
      }
      // (
        if named s then
          {
            type = typeOf s;
            default = { };
          }
        else
          {
            type = types.nullOr (typeOf value);
            default = null;
          }
      )
    );
in
{
  # The option of a key of the system's file, and the schema of all of them.
  option = key: optionOf key schema.properties.${key};
  inherit (schema) properties;
  # Keys that stand in the system's file. The others are a project's own.
  system = lib.filter (key: lib.elem "system" schema.properties.${key}."x-files") (
    lib.attrNames schema.properties
  );
}
