# A small stand-in for the parts of nixpkgs' `lib` that the agentbox module
# uses, written from the documented behaviour, for evaluating the module where
# no nixpkgs is at hand. The same cases run against the real lib where there is.
let
  b = builtins;
  inherit (b) attrNames mapAttrs isAttrs isList isFunction isString isBool isInt isPath elem filter concatLists concatMap concatStringsSep foldl' length head listToAttrs all any match toJSON removeAttrs functionArgs;
  fix = f: let x = f x; in x;
  id = x: x;
  nameValuePair = name: value: { inherit name value; };
  filterAttrs = p: s: removeAttrs s (filter (n: !(p n s.${n})) (attrNames s));
  mapAttrsToList = f: s: map (n: f n s.${n}) (attrNames s);
  attrValues = b.attrValues;
  genAttrs = ns: f: listToAttrs (map (n: nameValuePair n (f n)) ns);
  optional = c: x: if c then [ x ] else [ ];
  optionals = c: xs: if c then xs else [ ];
  optionalAttrs = c: s: if c then s else { };
  optionalString = c: s: if c then s else "";
  unique = foldl' (acc: x: if elem x acc then acc else acc ++ [ x ]) [ ];
  hasPrefix = p: s: b.substring 0 (b.stringLength p) s == p;
  hasSuffix = p: s: let n = b.stringLength s; m = b.stringLength p; in n >= m && b.substring (n - m) m s == p;
  escape = b.replaceStrings [ "\\" "." "*" "+" "?" "(" ")" "[" "]" "{" "}" "|" "^" "$" ] [ "\\\\" "\\." "\\*" "\\+" "\\?" "\\(" "\\)" "\\[" "\\]" "\\{" "\\}" "\\|" "\\^" "\\$" ];
  showOption = concatStringsSep ".";
  isDerivation = v: isAttrs v && v.type or null == "derivation";
  zip = f: sets: let ns = unique (concatMap attrNames sets); in genAttrs ns (n: f n (map (s: s.${n}) (filter (s: s ? ${n}) sets)));

  # --- properties
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOrder = order: content: { _type = "order"; inherit order content; };
  mkDefault = mkOverride 1000; mkOptionDefault = mkOverride 1500; mkForce = mkOverride 50; mkVMOverride = mkOverride 10;
  mkBefore = mkOrder 500; mkAfter = mkOrder 1500;
  # the list of plain definitions that a value with properties stands for
  discharge = v: let t = if isAttrs v then v._type or "" else ""; in
    if t == "merge" then concatMap discharge v.contents
    else if t == "if" then (if v.condition then discharge v.content else [ ])
    else [ v ];
  # a module's config: push properties down until attribute sets are plain
  pushDown = cfg: let t = cfg._type or ""; in
    if t == "merge" then concatMap pushDown cfg.contents
    else if t == "if" then map (mapAttrs (_: v: mkIf cfg.condition v)) (pushDown cfg.content)
    else if t == "override" then map (mapAttrs (_: v: mkOverride cfg.priority v)) (pushDown cfg.content)
    else [ cfg ];
  prio = v: if isAttrs v && v._type or "" == "override" then v.priority else 100;
  strip = v: if isAttrs v && v._type or "" == "override" then strip v.content else v;
  order = v: if isAttrs v && v._type or "" == "order" then v.order else 1000;
  stripOrder = v: if isAttrs v && v._type or "" == "order" then v.content else v;
  resolve = defs:
    let
      ds = concatMap (d: map (value: { inherit (d) file; inherit value; }) (discharge d.value)) defs;
      top = foldl' (m: d: let p = prio d.value; in if p < m then p else m) 9999 ds;
      kept = map (d: d // { value = strip d.value; }) (filter (d: prio d.value == top) ds);
      sorted = b.sort (x: y: order x.value < order y.value) kept;
    in map (d: d // { value = stripOrder d.value; }) sorted;

  # --- options and types
  mkOption = a: a // { _type = "option"; };
  mkEnableOption = name: mkOption { type = types.bool; default = false; example = true; description = "Whether to enable ${name}."; };
  mkPackageOption = pkgs: name: { default ? name, nullable ? false, ... }: mkOption {
    type = if nullable then types.nullOr types.package else types.package;
    default = pkgs.${if isList default then head default else default}; description = "The ${name} package to use.";
  };
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalMD = text: { _type = "literalMD"; inherit text; };
  mkType = { name, check ? (_: true), merge ? mergeOne, description ? name, ... }@t: { _type = "option-type"; inherit name check merge description; } // t;
  fail = loc: defs: what: throw "A definition for option `${showOption loc}' is not of type `${what}'. Definition values:\n${concatStringsSep "\n" (map (d: "- In `${toString d.file}'") defs)}";
  mergeOne = loc: defs: if length defs == 1 then (head defs).value else throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.";
  mergeEqual = loc: defs: let v = (head defs).value; in if all (d: d.value == v) defs then v else throw "The option `${showOption loc}' has conflicting definition values.";
  checked = type: loc: defs:
    let r = resolve defs; bad = filter (d: !type.check d.value) r; in
    if bad != [ ] then fail loc bad type.description else type.merge loc r;
  types = fix (t: {
    raw = mkType { name = "raw"; };
    anything = mkType { name = "anything"; merge = loc: defs: if all (d: isAttrs d.value) defs then zip (n: vs: checked t.anything (loc ++ [ n ]) (map (value: { file = ""; inherit value; }) vs)) (map (d: d.value) defs) else mergeEqual loc defs; };
    unspecified = t.anything;
    bool = mkType { name = "boolean"; check = isBool; merge = mergeEqual; };
    int = mkType { name = "signed integer"; check = isInt; merge = mergeEqual; };
    float = mkType { name = "floating point number"; check = b.isFloat; merge = mergeEqual; };
    str = mkType { name = "string"; check = isString; merge = mergeEqual; };
    singleLineStr = t.strMatching "[^\n]*" // { description = "(optionally newline-terminated) single-line string"; };
    nonEmptyStr = t.strMatching ".*[^[:space:]].*" // { description = "non-empty string"; };
    lines = mkType { name = "strings concatenated with \"\\n\""; check = isString; merge = _: defs: concatStringsSep "\n" (map (d: d.value) defs); };
    path = mkType { name = "path"; check = v: (isString v || isPath v || isDerivation v) && hasPrefix "/" (toString v); merge = mergeEqual; };
    package = mkType { name = "package"; check = isDerivation; };
    enum = vs: mkType { name = "one of ${concatStringsSep ", " (map toJSON vs)}"; check = v: elem v vs; merge = mergeEqual; };
    strMatching = re: mkType { name = "string matching the pattern ${re}"; check = v: isString v && match re v != null; merge = mergeEqual; };
    port = t.ints.u16 // { description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)"; };
    ints = rec {
      between = lo: hi: mkType { name = "integer between ${toString lo} and ${toString hi} (both inclusive)"; check = v: isInt v && v >= lo && v <= hi; merge = mergeEqual; };
      u8 = between 0 255; u16 = between 0 65535; u32 = between 0 4294967295;
      unsigned = mkType { name = "unsigned integer, meaning >=0"; check = v: isInt v && v >= 0; merge = mergeEqual; };
      positive = mkType { name = "positive integer, meaning >0"; check = v: isInt v && v > 0; merge = mergeEqual; };
    };
    nullOr = e: mkType { nestedTypes.elemType = e; name = "null or ${e.description}"; check = v: v == null || e.check v; merge = loc: defs: if all (d: d.value == null) defs then null else if any (d: d.value == null) defs then throw "The option `${showOption loc}' is defined both null and not null." else e.merge loc defs; };
    either = x: y: mkType { name = "${x.description} or ${y.description}"; check = v: x.check v || y.check v; merge = loc: defs: if all (d: x.check d.value) defs then x.merge loc defs else if all (d: y.check d.value) defs then y.merge loc defs else mergeEqual loc defs; };
    oneOf = ts: foldl' t.either (head ts) (b.tail ts);
    listOf = e: mkType { nestedTypes.elemType = e; name = "list of ${e.description}"; check = isList; merge = loc: defs: concatLists (map (d: b.genList (i: checked e (loc ++ [ "[definition ${toString i}]" ]) [ (d // { value = b.elemAt d.value i; }) ]) (length d.value)) defs); };
    nonEmptyListOf = e: let l = t.listOf e; in l // { description = "non-empty (${l.description})"; check = v: isList v && v != [ ]; };
    attrsOf = e: mkType { nestedTypes.elemType = e; name = "attribute set of ${e.description}"; check = isAttrs; merge = loc: defs:
      let pushed = concatMap (d: map (value: d // { inherit value; }) (pushDown d.value)) defs; ns = unique (concatMap (d: attrNames d.value) pushed);
          at = n: map (d: d // { value = d.value.${n}; }) (filter (d: d.value ? ${n}) pushed);
      in genAttrs (filter (n: resolve (at n) != [ ]) ns) (n: checked e (loc ++ [ n ]) (at n)); };
    lazyAttrsOf = t.attrsOf;
    attrs = t.attrsOf t.anything;
    submodule = m: submoduleWith { modules = if isList m then m else [ m ]; };
    submoduleWith = submoduleWith;
    deferredModule = mkType { name = "module"; check = v: isAttrs v || isFunction v || isPath v; merge = _: defs: { imports = map (d: d.value) defs; }; };
    functionTo = e: mkType { name = "function that evaluates to a(n) ${e.description}"; check = isFunction; };
  });
  submoduleWith = { modules, specialArgs ? { }, ... }: mkType {
    name = "submodule"; check = v: isAttrs v || isFunction v || isPath v;
    merge = loc: defs: (evalModules {
      modules = modules ++ map (d: { _file = d.file; imports = [ d.value ]; }) defs;
      prefix = loc; specialArgs = specialArgs // { name = b.elemAt loc (length loc - 1); };
    }).config;
    getSubOptions = loc: let
        evaluated = evalModules { inherit modules; prefix = loc; specialArgs = specialArgs // { name = "<name>"; }; };
        below = type: if type ? getSubOptions then type.getSubOptions loc else if type ? nestedTypes then below type.nestedTypes.elemType else { };
      in evaluated.options // optionalAttrs (evaluated.freeformType != null) { _freeformOptions = removeAttrs (below evaluated.freeformType) [ "_module" ]; };
  };

  # --- modules
  evalModules = { modules, prefix ? [ ], specialArgs ? { } }:
    let
      args = { inherit config options lib; } // specialArgs;
      load = file: m:
        let
          f = if isPath m || isString m then import m else m;
          v = if isFunction f then f (if functionArgs f == { } then args else mapAttrs (n: _: args.${n} or (throw "module argument `${n}' is not given")) (filterAttrs (n: opt: !opt || args ? ${n}) (functionArgs f)) // (removeAttrs args (attrNames (functionArgs f)))) else f;
          file' = if isPath m || isString m then toString m else v._file or file;
          long = v ? config || v ? options;
          core = [ "_file" "key" "imports" "disabledModules" "freeformType" "config" "options" "meta" "_class" ];
        in concatMap (load file') (v.imports or [ ]) ++ [ {
          file = file'; options = v.options or { };
          config = if long then (let extra = removeAttrs v core; in if extra != { } then throw "Module `${file'}' has an unsupported attribute `${head (attrNames extra)}'." else v.config or { }) else removeAttrs v core;
          freeform = v.freeformType or null;
        } ];
      loaded = concatMap (load "<unknown-file>") modules;
      freeformTypes = filter (x: x != null) (map (m: m.freeform) loaded);
      freeform = if freeformTypes == [ ] then null else head freeformTypes;
      isOpt = o: o._type or "" == "option";
      # merge declarations: an attribute set of options, nested
      declare = loc: sets: zip (n: vs:
        if all isOpt vs then (if length vs == 1 then head vs else foldl' (x: y: x // y) { } vs) // { loc = loc ++ [ n ]; }
        else if any isOpt vs then throw "The option `${showOption (loc ++ [ n ])}' is declared both as an option and as a set of options."
        else declare (loc ++ [ n ]) vs) sets;
      internal = { _module.args = mkOption { type = types.lazyAttrsOf types.raw; default = { }; }; };
      options = declare prefix ([ internal ] ++ map (m: m.options) loaded);
      defsOf = concatMap (m: map (value: { inherit (m) file; inherit value; }) (pushDown m.config)) loaded;
      walk = loc: opts: defs:
        let
          at = n: concatMap (d: if d.value ? ${n} then [ (d // { value = d.value.${n}; }) ] else [ ]) defs;
          known = mapAttrs (n: o:
            if isOpt o then
              let ds = at n ++ (if o ? default then [ { file = "<default>"; value = mkOptionDefault o.default; } ] else [ ]); type = o.type or types.anything; live = resolve ds;
                  v = if live == [ ] then (if type ? emptyValue then type.emptyValue else throw "The option `${showOption (loc ++ [ n ])}' was accessed but has no value defined. Try setting the option.") else checked type (loc ++ [ n ]) ds;
              in (o.apply or id) v
            else walk (loc ++ [ n ]) o (concatMap (d: map (value: d // { inherit value; }) (pushDown d.value)) (at n))) opts;
          names = unique (concatMap (d: attrNames d.value) defs);
          unknown = filter (n: !(opts ? ${n})) names;
          stray = filter (n: resolve (at n) != [ ]) unknown;
        in
        if loc == prefix && freeform != null then (checked freeform loc (map (d: d // { value = removeAttrs d.value (attrNames opts); }) defs)) // known
        else if stray != [ ] then throw "The option `${showOption (loc ++ [ (head stray) ])}' does not exist. Definition values:\n${concatStringsSep "\n" (map (d: "- In `${toString d.file}'") (at (head stray)))}"
        else known;
      all' = walk prefix options defsOf;
      config = all';
    in { inherit options; freeformType = freeform; config = removeAttrs config [ "_module" ]; };

  # name, type and default of every option, submodules included
  docList = loc: opts: concatMap (n: let o = opts.${n}; l = loc ++ [ n ]; in
    if n == "_module" then [ ] else if o._type or "" == "option" then [ { name = showOption l; type = o.type.description; description = o.description or null; } ] else docList l o) (attrNames opts);

  getExe' = x: y: "${x}/bin/${y}";
  getExe = x: getExe' x (x.meta.mainProgram or x.pname or x.name);
  generators.toJSON = _: toJSON;
  lib = {
    inherit fix id nameValuePair filterAttrs mapAttrsToList attrValues genAttrs optional optionals optionalAttrs optionalString unique hasPrefix hasSuffix showOption isDerivation
      mkIf mkMerge mkOverride mkOrder mkDefault mkOptionDefault mkForce mkVMOverride mkBefore mkAfter mkOption mkEnableOption mkPackageOption literalExpression literalMD mkType types evalModules docList getExe getExe' generators
      mapAttrs attrNames isAttrs isList isFunction isString elem filter concatLists concatMap concatStringsSep foldl' length head listToAttrs all any;
    concatMapStringsSep = s: f: xs: concatStringsSep s (map f xs);
    concatMapStrings = f: xs: concatStringsSep "" (map f xs);
    importJSON = p: b.fromJSON (b.readFile p);
    importTOML = p: b.fromTOML (b.readFile p);
    removePrefix = p: s: if hasPrefix p s then b.substring (b.stringLength p) (b.stringLength s) s else s;
    removeSuffix = x: s: if hasSuffix x s then b.substring 0 (b.stringLength s - b.stringLength x) s else s;
    hasInfix = i: s: b.length (b.split (escape i) s) > 1;
    splitString = sep: s: filter isString (b.split (escape sep) s);
    take = n: xs: b.genList (b.elemAt xs) (lib.min n (length xs));
    getDev = x: x;
    licenses = genAttrs [ "asl20" "mit" ] (spdxId: { inherit spdxId; });
    fileset = { unions = files: files; toSource = { root, fileset }: if all b.pathExists fileset then root else throw "a file of the source is missing"; };
    toList = x: if isList x then x else [ x ];
    min = x: y: if x < y then x else y;
    setAttrByPath = path: v: if path == [ ] then v else { ${head path} = lib.setAttrByPath (b.tail path) v; };
    attrByPath = path: d: s: if path == [ ] then s else if isAttrs s && s ? ${head path} then lib.attrByPath (b.tail path) d s.${head path} else d;
    hasAttrByPath = path: s: path == [ ] || (isAttrs s && s ? ${head path} && lib.hasAttrByPath (b.tail path) s.${head path});
    recursiveUpdate = x: y: if isAttrs x && isAttrs y then x // mapAttrs (n: v: if x ? ${n} then lib.recursiveUpdate x.${n} v else v) y else y;
    concatMapAttrs = f: s: foldl' (a: x: a // x) { } (mapAttrsToList f s);
    mapAttrs' = f: s: listToAttrs (mapAttrsToList f s);
    makeBinPath = ps: concatStringsSep ":" (map (p: "${p}/bin") ps);
    escapeShellArg = s: "'${b.replaceStrings [ "'" ] [ "'\\''" ] (toString s)}'";
    subtractLists = e: filter (x: !(elem x e));
  };
in lib
