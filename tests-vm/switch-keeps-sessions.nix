# A session lives through a switch; what is tightened of its network holds at once, what is loosened later.
{
  name = "switch-keeps-sessions";
  nodes.machine = {
    imports = [ ./fixtures/ada.nix ];
    services.agentbox.profiles.work = {
      network = "allowlist";
      allow = [
        "a.example.org"
        "b.example.org"
      ];
    };
    specialisation.tight.configuration.services.agentbox.profiles.work.deny = [ "a.example.org" ];
  };
  testScript = ''
    import json

    def ada(line):
        return machine.succeed(f"runuser -u ada -- sh -c 'cd /home/ada/project && {line}'").strip()

    def reaches(id, name):
        # `why` ends with another status for what is refused.
        said = ada(f"agentboxctl why {id} {name} --json || true")
        return json.loads(said)["allowed"]

    def switch(to):
        machine.succeed(f"{to}/bin/switch-to-configuration test >&2")

    machine.wait_for_unit("agentboxd.service")
    before = machine.succeed("readlink -f /run/current-system").strip()
    start = "agentboxctl start . --profile work --detach -- sleep 600"
    id = ada(start)
    agent = json.loads(ada(f"agentboxctl status {id} --json"))["agent_pid"]
    assert reaches(id, "a.example.org") and reaches(id, "b.example.org")

    switch(f"{before}/specialisation/tight")
    assert not reaches(id, "a.example.org") and reaches(id, "b.example.org")
    assert agent == json.loads(ada(f"agentboxctl status {id} --json"))["agent_pid"]

    switch(before)
    assert not reaches(id, "a.example.org"), "loosened for a session that runs"
    next = ada(start)
    assert reaches(next, "a.example.org")
    assert agent == json.loads(ada(f"agentboxctl status {id} --json"))["agent_pid"]
    ada("agentboxctl stop --all")
  '';
}
