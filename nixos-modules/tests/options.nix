# Every option of the module with its type and its description, for the reference.
{
  library ? ./standin/lib.nix,
}:
let
  lib = import library;
  pkgs = {
    agentbox = {
      type = "derivation";
      name = "agentbox";
      outPath = "/";
    };
    formats.json = _: { type = lib.types.attrsOf lib.types.anything; };
  };
  evaluated = lib.evalModules {
    modules = [
      ./standin/nixos.nix
      ../default.nix
    ];
    specialArgs = { inherit pkgs; };
  };
  isOption = o: (o._type or "") == "option";
  # Options of the submodules of a type, whatever the type wraps them in.
  below =
    type: name:
    let
      sub = type.getSubOptions or (_: { });
      options = removeAttrs (sub [ ]) [ "_module" ];
      inner = type.nestedTypes.elemType or null;
    in
    if options != { } then
      list name options
    else if inner != null then
      below inner name
    else
      [ ];
  list =
    prefix: options:
    lib.concatMap (
      key:
      let
        option = options.${key};
        # What a set has besides the options with names of their own.
        name = if key == "_freeformOptions" then "${prefix}.<name>" else "${prefix}.${key}";
        entry = if option.default or null == { } && (option.type.nestedTypes or { }) ? elemType then "${name}.<name>" else name;
      in
      if isOption option then
        lib.optional (!(option.internal or false)) {
          inherit name;
          type = option.type.description;
          description = option.description.text or option.description or "";
        }
        ++ below option.type entry
      else
        list name option
    ) (lib.attrNames options);
in
list "services.agentbox" evaluated.options.services.agentbox
