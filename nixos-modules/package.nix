# The programs and the files of `dist/`, where a distribution has them.
{
  lib,
  rustPlatform,
  stdenv,
  llvmPackages,
  libbpf,
  linuxHeaders,
  nftables,
}:

let
  manifest = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage {
  pname = "agentbox";
  inherit (manifest.workspace.package) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../.cargo
      ../Cargo.lock
      ../Cargo.toml
      ../clippy.toml
      ../crates
      ../dist
      ../docs
      ../nixos-modules
      ../presets
      ../rustfmt.toml
      ../xtask
    ];
  };

  cargoLock.lockFile = ../Cargo.lock;

  # The kernel guard is C for the kernel's own machine: the wrapped compiler adds flags that it does not know.
  nativeBuildInputs = [ llvmPackages.clang-unwrapped ];
  # The launcher, the gate and the probe are static: they run where nothing can be loaded.
  buildInputs = [ stdenv.cc.libc.static ];

  env = {
    # An absolute path: what root runs is not looked up.
    AGENTBOX_NFT = lib.getExe nftables;
    AGENTBOX_CLANG = lib.getExe' llvmPackages.clang-unwrapped "clang";
    C_INCLUDE_PATH = "${lib.getDev libbpf}/include:${linuxHeaders}/include";
  };

  # One command builds and installs on every distribution.
  buildPhase = ''
    runHook preBuild
    cargo xtask build --release
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    cargo xtask install --destdir "$TMPDIR/root"
    mkdir -p "$out"
    cp -r "$TMPDIR/root/usr/." "$out/"
    for file in \
      "$out/lib/systemd/system/agentboxd.service"
    do
      substituteInPlace "$file" --replace-fail /usr/libexec "$out/libexec"
    done
    runHook postInstall
  '';

  # Tests of sessions need root and a kernel of their own: they run in VMs (tests-vm) and on Debian.
  doCheck = false;

  meta = {
    description = "Runs AI coding agents in sessions that are held";
    homepage = manifest.workspace.package.repository;
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "agentboxctl";
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
}
