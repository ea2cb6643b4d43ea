# Docker's rules and networks are the same with a session and without, and a session starts beside them.
{
  name = "docker-coexists";
  nodes.machine = {
    imports = [ ./fixtures/ada.nix ];
    virtualisation.docker.enable = true;
  };
  testScript = ''
    machine.wait_for_unit("docker.service")
    machine.wait_for_unit("agentboxd.service")
    shown = "iptables-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; ip -brief link show docker0"
    before = machine.succeed(shown)
    assert "DOCKER" in before, "docker has no rules"
    ada = "runuser -u ada -- sh -c 'cd /home/ada/project && {}'"
    id = machine.succeed(ada.format("agentboxctl start . --detach -- sleep 600")).strip()
    assert before == machine.succeed(shown), "a session changed what is docker's"
    # The socket that makes root of whoever speaks to it is there, and not for a session.
    machine.succeed("test -S /run/docker.sock")
    machine.fail(ada.format(f"agentboxctl exec {id} -- test -e /run/docker.sock"))
    machine.succeed("systemctl restart docker.service")
    machine.succeed(ada.format(f"agentboxctl exec {id} -- true"))
    machine.succeed(ada.format("agentboxctl stop --all"))
    assert before == machine.succeed(shown), "the end of a session changed what is docker's"
  '';
}
