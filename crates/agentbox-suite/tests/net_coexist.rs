//! Hosts are all kinds of things: other people's rules, one family, resolvers in odd places, routes that
//! change. The network of a session works on them, and they go on working.

use agentbox_suite::lab::addresses::{
    HOST_SECOND_V4, HOST_SECOND_V6, RESOLVER_LAN, RESOLVER_STUB, RESOLVER_TAILNET, RESOLVER_V4, RESOLVER_V6,
};
use agentbox_suite::lab::{Families, Guest, Lab};
use agentbox_suite::{Session, eventually, run};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const OPTIONS: &[&str] =
    &["--network", "allowlist", "--allow", "work.example.com", "--allow", "*.example.org"];

fn works(guest: &Guest<'_>, session: &Session<'_>, family: &str) -> Result<()> {
    let script = format!("curl -sS {family} --max-time 10 https://work.example.com/version");
    let said = guest.sh_in(session, &script)?;
    ensure!(said.text() == "2.0\n", "{said:?}");
    let said = guest.client_in(session, &["attempt", "refused.example.com", "80"])?.remove(0);
    ensure!(said["outcome"] == "403 Forbidden", "{said}");
    Ok(())
}

#[test]
fn a_host_whose_forward_chain_drops_is_no_obstacle() -> Result<()> {
    let lab = Lab::new()?;
    // As Docker leaves it.
    lab.host().space().nft(
        "table ip filter {\n chain FORWARD {\n type filter hook forward priority filter; policy drop;\n jump DOCKER-USER\n }\n\
         chain DOCKER-USER {\n return\n }\n}\n\
         table ip nat {\n chain POSTROUTING {\n type nat hook postrouting priority srcnat; policy accept;\n\
         ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade\n }\n\
         chain OUTPUT {\n type nat hook output priority -100; policy accept;\n\
         ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER\n }\n chain DOCKER {\n return\n }\n}",
    )?;
    let before = lab.host().space().nft_list(&["table", "ip", "filter"])?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    works(&guest, &session, "-4")?;
    works(&guest, &session, "-6")?;
    ensure!(lab.host().space().nft_list(&["table", "ip", "filter"])? == before, "their rules were changed");
    let forwarding =
        lab.host().space().enter(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward"))??;
    ensure!(forwarding.trim() == "0", "forwarding was switched on");
    session.stop()
}

#[test]
fn a_host_with_a_firewall_of_its_own_is_no_obstacle_and_keeps_it() -> Result<()> {
    let lab = Lab::new()?;
    // As the firewall of NixOS, by the compatible program.
    let script = "for t in iptables-nft ip6tables-nft; do\n\
         $t -N nixos-fw; $t -N nixos-fw-refuse; $t -N nixos-fw-accept; $t -A nixos-fw-accept -j ACCEPT\n\
         $t -A nixos-fw-refuse -j DROP; $t -A nixos-fw -i lo -j nixos-fw-accept\n\
         $t -A nixos-fw -m conntrack --ctstate ESTABLISHED,RELATED -j nixos-fw-accept\n\
         $t -A nixos-fw -j nixos-fw-refuse; $t -A INPUT -j nixos-fw\n\
         $t -t mangle -N nixos-fw-rpfilter; $t -t mangle -A nixos-fw-rpfilter -m rpfilter --validmark -j RETURN\n\
         $t -t mangle -A nixos-fw-rpfilter -j DROP; $t -t mangle -A PREROUTING -j nixos-fw-rpfilter; done\n\
         ip6tables-nft -I nixos-fw 1 -p ipv6-icmp -j ACCEPT";
    let applied = run(lab.host().space().command("/bin/sh").args(["-c", script]), b"", LIMIT)?;
    ensure!(applied.status == 0, "{applied:?}");
    let guest = lab.machine()?;
    let options = [OPTIONS, &["--publish", "3000"]].concat();
    let script = "echo made inside > index.html; exec /usr/bin/python3 -m http.server --bind 127.0.0.1 3000";
    let session = guest.detached_with("L2", &options, &["sh", "-c", script])?;
    works(&guest, &session, "-4")?;
    works(&guest, &session, "-6")?;
    eventually("the port is published", LIMIT, || {
        let said = lab.shell_outside("curl -sS --max-time 5 http://127.0.0.1:3000/")?;
        Ok((said.text() == "made inside\n").then_some(()))
    })?;
    // Reloading it, as a switch of the configuration does, takes only its own.
    run(
        lab.host()
            .space()
            .command("/bin/sh")
            .args(["-c", "iptables-nft -F nixos-fw; iptables-nft -A nixos-fw -j nixos-fw-accept"]),
        b"",
        LIMIT,
    )?
    .success()?;
    works(&guest, &session, "-4")?;
    session.stop()
}

#[test]
fn a_host_of_one_family_gives_sessions_that_one() -> Result<()> {
    for families in [Families::OnlyV4, Families::OnlyV6] {
        let lab = Lab::with(families)?;
        let guest = lab.machine()?;
        let session = guest.waiting(OPTIONS)?;
        works(&guest, &session, "").with_context(|| format!("{families:?}"))?;
        let public = guest.waiting(&["--network", "public"])?;
        let said = guest.sh_in(&public, "curl -sS --max-time 10 https://work.example.com/version")?;
        ensure!(said.text() == "2.0\n", "{families:?}: {said:?}");
        ensure!(session.posture_diff()?.is_empty(), "{families:?}: {:#?}", session.posture_diff()?);
    }
    Ok(())
}

#[test]
fn resolvers_are_asked_wherever_they_are_and_nothing_else_there_is_reached() -> Result<()> {
    for resolver in [RESOLVER_STUB, RESOLVER_LAN, RESOLVER_TAILNET, RESOLVER_V4, RESOLVER_V6] {
        let lab = Lab::new()?;
        let guest = lab.machine()?;
        let written = if resolver.is_ipv6() { format!("[{resolver}]:53") } else { resolver.to_string() };
        guest.configure(&format!("resolvers = [{written:?}]"))?;
        let session = guest.waiting(OPTIONS)?;
        works(&guest, &session, "").with_context(|| resolver.to_string())?;
        let asked = lab.dns().asked_for("work.example.com");
        ensure!(!asked.is_empty() && asked.iter().all(|question| question.resolver == resolver), "{asked:?}");
        // Its other ports are as internal as before.
        let text = resolver.to_string();
        let said = guest.client_in(&session, &["attempt", &text, "80", &text, "53"])?;
        ensure!(said.iter().all(|one| one["outcome"] != "200 OK"), "{resolver}: {said:?}");
        session.stop()?;
    }
    Ok(())
}

#[test]
fn the_hosts_own_resolvers_are_asked_when_none_are_configured() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure("")?;
    let file = lab.directory().join("resolv.conf");
    std::fs::write(
        &file,
        format!("# as a network's setup leaves it\nsearch lan.example.net\nnameserver {RESOLVER_LAN}\n"),
    )?;
    // The first command starts the supervisor, which sees this file as the host's.
    let plain =
        guest.command(&guest.start_arguments("L2", &[OPTIONS, &["--detach"]].concat(), &["sleep", "600"]));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "/bin/sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"").arg("sh").arg(&file);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(guest.project()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut command, b"", LIMIT)?.success()?;
    let session = guest.only_session()?;
    works(&guest, &session, "")?;
    let asked = lab.dns().asked_for("work.example.com");
    ensure!(!asked.is_empty() && asked.iter().all(|question| question.resolver == RESOLVER_LAN), "{asked:?}");
    session.stop()
}

#[test]
fn a_resolver_that_is_silent_is_no_obstacle_beside_one_that_answers() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure(&format!("resolvers = [\"9.66.0.7\", {:?}]", RESOLVER_V4.to_string()))?;
    let session = guest.waiting(OPTIONS)?;
    works(&guest, &session, "")?;
    session.stop()
}

#[test]
fn a_default_route_that_changes_is_followed() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // The family outside is the gate's choice, so each of these names has only one.
    lab.dns().address("four.example.org", &["9.0.0.2"]);
    lab.dns().address("six.example.org", &["2a0e:b107:c::2"]);
    let session = guest.waiting(OPTIONS)?;
    let both = || -> Result<()> {
        for said in
            guest.client_in(&session, &["attempt", "four.example.org", "80", "six.example.org", "80"])?
        {
            ensure!(said["outcome"] == "200 OK", "{said}");
        }
        Ok(())
    };
    both()?;
    lab.host().space().ip(
        "route replace default via 10.78.0.1 dev up1\n-6 route replace default via 2a0e:b107:78::1 dev up1",
    )?;
    both()?;
    let from: Vec<_> = lab.wan().arrivals().into_iter().map(|arrival| arrival.from).collect();
    ensure!(from.contains(&HOST_SECOND_V4) && from.contains(&HOST_SECOND_V6), "{from:?}");
    // Without any there is an answer, not a hang; and it works again with one.
    lab.host().space().ip("route del default\n-6 route del default")?;
    let said = guest.client_in(&session, &["attempt", "work.example.com", "80"])?.remove(0);
    ensure!(said["outcome"] != "200 OK" && said["outcome"] != "timed out", "{said}");
    lab.host().space().ip("route add default via 10.77.0.1\n-6 route add default via 2a0e:b107:77::1")?;
    eventually("it works again", LIMIT, || Ok(both().ok()))?;
    session.stop()
}
