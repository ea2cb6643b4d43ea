# NixOS answers questions for names over a socket of a daemon of the host. A session has no way to it.
{
  name = "nscd-does-not-leak";
  nodes.machine = {
    imports = [ ./fixtures/ada.nix ];
    services.nscd.enable = true;
    networking.hosts."10.11.12.13" = [ "only-on-the-host.example" ];
  };
  testScript = ''
    machine.wait_for_unit("nscd.service")
    machine.wait_for_unit("agentboxd.service")
    ada = "runuser -u ada -- sh -c 'cd /home/ada/project && {}'"
    inside = ada.format("agentboxctl start . -- {}")
    asked = "getent hosts only-on-the-host.example"
    machine.succeed(ada.format(asked))
    machine.succeed(ada.format("test -S /run/nscd/socket"))
    machine.succeed(inside.format("true"))
    for place in ["/run/nscd/socket", "/var/run/nscd/socket"]:
        machine.fail(inside.format(f"test -e {place}"))
    assert "10.11.12.13" not in machine.succeed(inside.format(f"sh -c \"{asked} || true\""))
  '';
}
