# `nix run .#demo`: a session at work, then attacked, in a machine that is thrown away.
{ suite, ... }:
{
  name = "demonstration";
  nodes.machine = { };
  testScript = ''
    machine.wait_for_unit("multi-user.target")
    print(machine.succeed("${suite}/bin/xtask demo --programs ${suite}/libexec/agentbox-suite/programs 2>&1"))
  '';
}
