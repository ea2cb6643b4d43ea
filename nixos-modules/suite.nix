# The suite's test programs, with the programs that they drive: those of the package, and those with failpoints.
{ agentbox }:

agentbox.overrideAttrs {
  pname = "agentbox-suite";

  buildPhase = ''
    runHook preBuild
    cargo xtask build --testing
    cargo xtask build --suite
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    to="$out/libexec/agentbox-suite"
    mkdir -p "$to/programs"
    cp -r target/agentbox/suite "$to/tests"
    cp -r target/agentbox/testing "$to/testing"
    # One directory with all of them; what is run is the package's own file.
    ln -s ${agentbox}/bin/agentboxctl ${agentbox}/libexec/agentbox/* "$to/programs/"
    install -Dm755 target/debug/xtask "$out/bin/xtask"
    runHook postInstall
  '';

  # Tests are told apart by what they say of where they are.
  dontStrip = true;

  meta = {
    description = "Tests of agentbox that drive the real programs";
    mainProgram = "xtask";
  };
}
