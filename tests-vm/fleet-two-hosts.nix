# Two hosts of one fleet show the same policy, and a third with another value shows another.
let
  policy = {
    imports = [ ./fixtures/ada.nix ];
    services.agentbox = {
      defaultPosture = "fleet";
      postures.fleet = {
        extends = "L2";
        network = "allowlist";
        tasks_max = 2048;
      };
      floor.isolation = "sandbox";
    };
  };
in
{
  name = "fleet-two-hosts";
  nodes.alpha = policy;
  nodes.beta = policy;
  nodes.gamma = {
    imports = [ policy ];
    services.agentbox.postures.fleet.memory_max = "2G";
  };
  testScript = ''
    import json

    start_all()

    def revision(machine):
        machine.wait_for_unit("agentboxd.service")
        explained = "runuser -u ada -- agentboxctl explain /home/ada/project --json"
        return json.loads(machine.succeed(explained))["hash"]

    assert revision(alpha) == revision(beta)
    assert revision(alpha) != revision(gamma)
  '';
}
