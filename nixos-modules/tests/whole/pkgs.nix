# Stands in for the packages of nixpkgs, for evaluating whole systems with its own `lib` and `nixos/`.
#
# Every word that a file of `nixos/` has is a package, with whatever outputs and attributes modules ask of one; what
# makes files or packages makes a derivation of what it was given. So a system is instantiated, down to its units and
# scripts, and nothing of it can be built.
{ lib, tree, words }:
let
  system = "x86_64-linux";
  platform = lib.systems.elaborate system // {
    # Removed from newer libraries, and asked for by older modules.
    linux-kernel.target = "bzImage";
  };
  outputs = [
    "out" "bin" "client" "data" "debug" "dev" "dnsutils" "doc" "fd" "ga" "getent" "hashed" "host" "info" "kerberos" "lastlog"
    "lib" "login" "man" "modules" "mount" "nix" "p11kit" "passwd" "scripts" "server" "sftp" "static" "su" "swap" "terminfo"
    "tools" "unbundled" "utils"
  ];
  # Of other packages and of text, only what the name of a derivation may hold.
  stub =
    given: content:
    let
      name = lib.strings.sanitizeDerivationName given;
      made = derivation (
        {
          inherit name system;
          builder = "/bin/false";
        }
        // content
      );
      drv = made // {
        pname = name;
        version = "999";
        inherit (self) stdenv;
        outputs = [ "out" ];
        meta.mainProgram = name;
        passthru = { };
        # A shell; a firmware; a compressor of initial file systems.
        shellPath = "/bin/sh";
        firmware = "/firmware";
        variables = "/variables";
        systemManagementModeRequired = false;
        compressorExecutableFunction = _: "gzip";
        compressorArgs = [ ];
        # A compiler.
        libc = self.glibc;
        bintools = made // { dynamicLinker = "/lib/ld.so"; };
      };
      whole = drv // lib.genAttrs outputs (_: drv) // {
        override = _: whole;
        overrideAttrs = _: whole;
        extend = _: whole;
        withPackages = _: whole;
        __functor = _: _: whole;
      };
    in
    whole;
  # What a builder was given, as far as it is text.
  textOf = given: builtins.toJSON (lib.filterAttrs (_: v: builtins.isString v) given);
  text = name: text: stub name { inherit text; };
  packages = lib.genAttrs words (name: stub name { });
  kernel = packages.linux // {
    version = "6.12.1";
    modDirVersion = "6.12.1";
    features = { };
    kernelOlder = lib.versionOlder "6.12";
    kernelAtLeast = lib.versionAtLeast "6.12";
    config = {
      isSet = _: true;
      isEnabled = _: true;
      isYes = _: true;
      isModule = _: false;
      isDisabled = _: false;
    };
  };
  value =
    with lib.types;
    nullOr (oneOf [ bool int float str path (attrsOf value) (listOf value) ]) // { description = "JSON value"; };
  format = _: {
    type = value;
    generate = name: v: stub name { value = builtins.toJSON v; };
  };
  self = packages // {
    _type = "pkgs";
    inherit lib system;
    path = tree;
    config = { };
    overlays = [ ];
    appendOverlays = _: self;
    extend = _: self;
    pkgs = self;
    __splicedPackages = self;
    buildPackages = self;
    pkgsStatic = self;
    pkgsi686Linux = self;
    targetPackages = self;
    hostPlatform = platform;
    stdenv = packages.stdenv // lib.filterAttrs (name: _: lib.hasPrefix "is" name) platform // {
      inherit system;
      hostPlatform = platform;
      buildPlatform = platform;
      targetPlatform = platform;
      cc = packages.gcc;
      mkDerivation = given: stub (given.name or given.pname) { given = textOf given; } // given.passthru or { };
    };
    stdenvNoCC = self.stdenv;

    formats = lib.genAttrs [ "elixirConf" "ini" "json" "keyValue" "toml" "xml" "yaml" ] (_: format);
    runCommand = name: given: script: stub name { inherit script; given = textOf given; } // given.passthru or { };
    runCommandCC = self.runCommand;
    runCommandLocal = self.runCommand;
    writeText = text;
    writeScript = text;
    writeScriptBin = text;
    writeShellScript = text;
    writeShellScriptBin = text;
    writeTextDir = path: text (baseNameOf path);
    writeTextFile = given: text given.name given.text;
    writeShellApplication = given: text given.name given.text;
    concatText = name: files: text name (toString files);
    buildEnv = given: text given.name (toString given.paths);
    symlinkJoin = given: text given.name (toString given.paths);
    linkFarm = name: entries: text name (builtins.toJSON entries);
    substituteAll = given: stub given.name or "substituted" { given = textOf given; };
    substitute = self.substituteAll;
    replaceVars = _: given: stub "replaced" { given = textOf given; };
    makeInitrd = given: text "initrd" (builtins.toJSON (map (entry: "${entry.object} ${entry.symlink}") given.contents));
    makeInitrdNG = given: text "initrd" (builtins.toJSON (map (entry: "${entry.source}") given.contents));
    makeModulesClosure = _: packages.modules-closure or (stub "modules-closure" { });
    closureInfo = given: text "closure" (toString given.rootPaths);
    makeDBusConf = given: stub "dbus-1" { given = builtins.toJSON given; };
    callPackage =
      file: given:
      let
        function = if lib.isFunction file then file else import file;
        needed = lib.filterAttrs (_: optional: !optional) (lib.functionArgs function);
      in
      function (builtins.intersectAttrs needed self // given);

    linuxPackages = packages // {
      inherit kernel;
      inherit (self) stdenv;
      extend = _: self.linuxPackages;
    };
    systemd =
      packages.systemd
      // lib.genAttrs (lib.filter (lib.hasPrefix "with") words) (_: true)
      // {
        interfaceVersion = 2;
        inherit (packages) kmod util-linux;
      };
    libxcrypt = packages.libxcrypt // { enabledCryptSchemeIds = [ "y" ]; };
    nixos-artwork.wallpapers = lib.genAttrs words (_: { gnomeFilePath = "/splash.png"; });
    python3Packages = packages // { buildPythonApplication = given: self.stdenv.mkDerivation given; };
    unixtools = packages;
    xorg = packages;
  };
in
self
