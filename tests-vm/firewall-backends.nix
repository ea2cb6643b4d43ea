# Beside both of NixOS' firewalls a session starts, outlives a reload of the rules, and opens no hole.
{
  name = "firewall-backends";
  nodes.iptables = {
    imports = [ ./fixtures/ada.nix ];
    networking.firewall.enable = true;
    networking.nftables.enable = false;
  };
  nodes.nftables = {
    imports = [ ./fixtures/ada.nix ];
    networking.firewall.enable = true;
    networking.nftables.enable = true;
  };
  testScript = ''
    start_all()

    # Without counters and without the table of agentbox.
    shown = "nft --stateless list ruleset | sed '/^table .* agentbox/,/^}/d'"

    for machine, unit in [(iptables, "firewall.service"), (nftables, "nftables.service")]:
        machine.wait_for_unit("multi-user.target")
        ada = "runuser -u ada -- sh -c 'cd /home/ada/project && {}'"
        before = machine.succeed(shown)
        id = machine.succeed(ada.format("agentboxctl start . --detach -- sleep 600")).strip()
        assert before == machine.succeed(shown), "a session changed the rules of the host"
        machine.succeed(f"systemctl restart {unit}")
        machine.succeed(ada.format(f"agentboxctl exec {id} -- true"))
        # Still held: the table of the host was put back.
        machine.wait_until_succeeds("nft list tables | grep agentbox")
        machine.succeed(ada.format("agentboxctl stop --all"))
        machine.wait_until_fails("nft list tables | grep agentbox")
  '';
}
