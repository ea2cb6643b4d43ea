//! Hosts are all kinds of things: other people's rules, one family, resolvers in odd places, routes that
//! change. The network of a session works on them, and they go on working.

use agentbox_suite::lab::addresses::{
    CDN_V6, HOST_SECOND_V4, HOST_SECOND_V6, LAN, RESOLVER_LAN, RESOLVER_STUB, RESOLVER_TAILNET, RESOLVER_V4,
    RESOLVER_V6,
};
use agentbox_suite::lab::dns::Says;
use agentbox_suite::lab::{Families, Guest, Lab};
use agentbox_suite::{Session, eventually, run};
use anyhow::{Context, Result, ensure};
use std::net::IpAddr;
use std::path::Path;
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

/// A session of a supervisor to which this file is the host's resolv.conf(5): the first command starts it.
fn beside<'a>(guest: &'a Guest<'_>, file: &Path) -> Result<Session<'a>> {
    let plain =
        guest.command(&guest.start_arguments("L2", &[OPTIONS, &["--detach"]].concat(), &["sleep", "600"]));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "/bin/sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"").arg("sh").arg(file);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(guest.project()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut command, b"", LIMIT)?.success()?;
    guest.only_session()
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
fn a_host_whose_firewall_is_written_for_nftables_is_no_obstacle_and_keeps_it() -> Result<()> {
    let lab = Lab::new()?;
    // As NixOS has it with `networking.nftables`: what comes in is dropped, and so is what came a wrong way.
    let rules = "table inet nixos-fw {
          chain rpfilter { type filter hook prerouting priority mangle + 10; policy drop;
            fib saddr . mark . iif oif exists accept
          }
          chain input { type filter hook input priority filter; policy drop;
            iifname lo accept
            ct state vmap { invalid : drop, established : accept, related : accept, new : jump allowed }
          }
          chain allowed { icmp type echo-request accept; meta l4proto ipv6-icmp accept; }
        }";
    lab.host().space().nft(rules)?;
    let theirs = || lab.host().space().nft_list(&["table", "inet", "nixos-fw"]);
    let guest = lab.machine()?;
    let before = theirs()?;
    let session = guest.waiting(OPTIONS)?;
    works(&guest, &session, "-4")?;
    works(&guest, &session, "-6")?;
    ensure!(theirs()? == before, "their rules were changed");
    // A switch of the configuration writes its table anew, and with `flushRuleset` everybody's away.
    lab.host().space().nft(&format!("delete table inet nixos-fw\n{rules}"))?;
    works(&guest, &session, "-4")?;
    lab.host().space().nft(&format!("flush ruleset\n{rules}"))?;
    eventually("it works again", LIMIT, || Ok(works(&guest, &session, "-4").ok()))?;
    session.stop()
}

/// Everything that those who manage a host's network look at: links, addresses, routes, rules for routes,
/// settings, and the tables of others.
fn network_of_host(lab: &Lab) -> Result<Vec<(String, String)>> {
    let mut seen = Vec::new();
    for what in ["-d link", "address", "route show table all", "-6 route show table all", "rule", "-6 rule"] {
        let script = format!("ip {what} | sed 's/ expires [0-9]*sec//'");
        seen.push((what.to_owned(), lab.shell_outside(&script)?.success()?.text()));
    }
    let settings =
        "cd /proc/sys/net && find . -type f -perm -u+r ! -name '*_count' -exec grep -H . {} + | sort";
    for line in lab.shell_outside(&format!("{settings} 2>/dev/null || :"))?.text().lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        seen.push((name.to_owned(), value.to_owned()));
    }
    let tables = lab.shell_outside("nft list tables | grep -v ' agentbox' || :")?.text();
    seen.push(("tables".to_owned(), tables));
    Ok(seen)
}

#[test]
fn a_session_changes_nothing_that_whoever_manages_the_network_looks_at() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let before = network_of_host(&lab)?;
    ensure!(before.len() > 300, "only {} things were seen", before.len());
    for mode in ["allowlist", "public"] {
        let session =
            guest.waiting(&["--network", mode, "--allow", "work.example.com", "--publish", "3000"])?;
        let said = guest.sh_in(&session, "curl -sS --max-time 10 https://work.example.com/version")?;
        ensure!(said.text() == "2.0\n", "{said:?}");
        let now = network_of_host(&lab)?;
        let changed: Vec<_> = now.iter().filter(|one| !before.contains(one)).collect();
        ensure!(changed.is_empty() && now.len() == before.len(), "{mode}: {changed:#?}");
        session.stop()?;
    }
    // A check that cannot fail proves nothing: such managers see a link at once.
    lab.host().space().ip("link add ab-seen type veth peer name ab-seen2")?;
    ensure!(network_of_host(&lab)? != before, "a new link is not seen");
    Ok(())
}

#[test]
fn a_tunnel_that_takes_all_traffic_while_a_session_runs_is_followed() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    lab.dns().address("four.example.org", &["9.0.0.2"]);
    let session = guest.waiting(OPTIONS)?;
    let answered = || -> Result<bool> {
        let said = guest.client_in(&session, &["attempt", "four.example.org", "80"])?.remove(0);
        Ok(said["outcome"] == "200 OK")
    };
    ensure!(answered()?);
    let through_tunnel =
        || lab.wan().arrivals().into_iter().filter(|arrival| arrival.from == HOST_SECOND_V4).count();
    ensure!(through_tunnel() == 0, "{:?}", lab.wan().arrivals());
    // Two halves of the internet by a device without a gateway, as OpenVPN does it: no network next to us.
    lab.router().set(&[("ipv4/conf/host1/proxy_arp", "1")])?;
    lab.host()
        .space()
        .ip("route add 0.0.0.0/1 dev up1 src 10.78.0.2\nroute add 128.0.0.0/1 dev up1 src 10.78.0.2")?;
    ensure!(answered()? && through_tunnel() == 1, "{:?}", lab.wan().arrivals());
    lab.host().space().ip("route del 0.0.0.0/1 dev up1\nroute del 128.0.0.0/1 dev up1")?;
    // A table of its own for all that has not its mark, as WireGuard does it.
    lab.host()
        .space()
        .ip("route add default via 10.78.0.1 dev up1 table 51820\nrule add not fwmark 51820 table 51820\n\
         rule add table main suppress_prefixlength 0")?;
    ensure!(answered()? && through_tunnel() == 2, "{:?}", lab.wan().arrivals());
    works(&guest, &session, "")?;
    session.stop()
}

#[test]
fn a_proxy_of_the_network_is_told_of_and_reached_by_its_rule() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let proxy = format!("http://{LAN}:8080");
    let said = run(guest.command(&["doctor"]).env("HTTPS_PROXY", &proxy), b"", LIMIT)?.text();
    let line = said.lines().find(|line| line.starts_with("proxy")).context("no word of it")?;
    ensure!(line.contains("warning") && said.contains("192.168.77.10:8080"), "{said}");
    // What it says helps.
    let rule = format!("{LAN}:8080");
    guest.configure_more(&format!("[profile.behind]\nenv.set = {{ http_proxy = {proxy:?} }}\n"))?;
    let session = guest.waiting(&["--network", "allowlist", "--allow", &rule, "--profile", "behind"])?;
    let said = guest.sh_in(&session, "curl -sS --max-time 10 http://behind.example.net/")?;
    ensure!(said.text() == "lan\n", "{said:?}");
    let heard = lab.lan().arrived(LAN);
    ensure!(heard.iter().any(|one| one.said.iter().any(|said| said.contains("http://behind.example.net/"))));
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
fn behind_a_translator_what_is_public_is_reached_and_what_is_internal_is_not() -> Result<()> {
    let lab = Lab::with(Families::OnlyV6)?;
    // As far as a session can see: the prefix leads somewhere, whichever address is behind it.
    let next = lab.router().command("ip").args(["-6", "route", "get", &CDN_V6.to_string()]).output()?;
    let next = String::from_utf8(next.stdout)?;
    let at = |word: &str| next.split_whitespace().skip_while(|is| *is != word).nth(1);
    let via = at("via").map(|via| format!("via {via} ")).unwrap_or_default();
    let device = at("dev").with_context(|| next.clone())?;
    lab.router().ip(&format!("-6 route add 64:ff9b::/96 {via}dev {device}"))?;
    lab.wan().space().nft(&format!(
        "table ip6 ab_lab_nat64 {{\n chain in {{\n type nat hook prerouting priority dstnat\n\
         ip6 daddr 64:ff9b::/96 counter dnat to {CDN_V6}\n }}\n}}"
    ))?;
    lab.dns().address("work.example.com", &["64:ff9b::9.0.0.1"]);
    lab.dns().address("inner.example.org", &["64:ff9b::192.168.77.10"]);
    let guest = lab.machine()?;
    let outside = lab.shell_outside("curl -sSg --max-time 10 'http://[64:ff9b::192.168.77.10]/'")?;
    ensure!(outside.status == 0, "the control: {outside:?}");
    for options in [OPTIONS, &["--network", "public"]] {
        let session = guest.waiting(options)?;
        let said = guest.sh_in(&session, "curl -sS --max-time 10 https://work.example.com/version")?;
        ensure!(said.text() == "2.0\n", "{options:?}: {said:?}");
        let said = guest.client_in(&session, &["attempt", "inner.example.org", "80"])?.remove(0);
        ensure!(said["outcome"] != "200 OK", "{options:?}: {said}");
        session.stop()?;
    }
    Ok(())
}

/// The name by which a network shows its prefix (RFC 7050).
const IPV4_ONLY: &str = "ipv4only.arpa";

/// The lab's names behind a prefix of the network's own: what is public there and what is not.
fn translated(lab: &Lab) {
    for (name, behind) in [("work.example.com", "9.0.0.1"), ("inner.example.org", "192.168.77.10")] {
        lab.dns().address(name, &[&format!("2a0e:b107:64::{behind}")]);
    }
    // By a prefix of 64 bits, where octet 8 is left out.
    lab.dns().address("within.example.org", &["2a0e:b107:65:0:c0:a84d:a00:0"]);
}

/// What a session sees there.
fn attempt(guest: &Guest<'_>, session: &Session<'_>, name: &str) -> Result<String> {
    let said = guest.client_in(session, &["attempt", name, "80"])?.remove(0);
    Ok(said["outcome"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn behind_a_translator_of_the_networks_own_what_is_internal_is_not_reached_once_a_resolver_shows_it()
-> Result<()> {
    const INNER: [&str; 2] = ["inner.example.org", "within.example.org"];
    let lab = Lab::with(Families::OnlyV6)?;
    translated(&lab);
    let guest = lab.machine()?;
    for options in [OPTIONS, &["--network", "public"]] {
        // The control: nobody says that these addresses lead inside.
        lab.dns().set(IPV4_ONLY, Says::NoSuchName);
        let session = guest.waiting(options)?;
        for name in INNER {
            ensure!(attempt(&guest, &session, name)? == "200 OK", "{options:?}: the control: {name}");
        }
        session.stop()?;
        let before = lab.wan().arrivals().len();
        let known = ["2a0e:b107:64::c000:aa", "2a0e:b107:64::c000:ab", "2a0e:b107:65:0:c0:0:aa00:0"];
        lab.dns().address(IPV4_ONLY, &known);
        let session = guest.waiting(options)?;
        for name in INNER {
            ensure!(attempt(&guest, &session, name)? != "200 OK", "{options:?}: {name}");
        }
        ensure!(attempt(&guest, &session, "2a0e:b107:64::c0a8:4d0a")? != "200 OK", "{options:?}");
        let arrived = lab.wan().arrivals().split_off(before);
        ensure!(arrived.is_empty(), "{options:?}: {arrived:?}");
        let said = guest.sh_in(&session, "curl -sS --max-time 10 https://work.example.com/version")?;
        ensure!(said.text() == "2.0\n", "{options:?}: {said:?}");
        // The name itself is nobody's to ask for, and where it leads is internal.
        ensure!(attempt(&guest, &session, IPV4_ONLY)? != "200 OK", "{options:?}");
        let why = guest.ctl(&["why", &session.id, "[2a0e:b107:64::c0a8:4d0a]:80"])?;
        ensure!(options == OPTIONS || why.text().contains("RFC 1918"), "{why:?}");
        session.stop()?;
    }
    // Who grants the name grants where it is.
    guest.configure_more("[profile.office]\ninternal = [\"inner.example.org\"]\n")?;
    let session = guest.waiting(&["--network", "public", "--profile", "office"])?;
    ensure!(attempt(&guest, &session, INNER[0])? == "200 OK", "the name is granted");
    session.stop()
}

#[test]
fn another_network_is_asked_whether_it_translates_while_sessions_run() -> Result<()> {
    let lab = Lab::with(Families::OnlyV6)?;
    translated(&lab);
    let guest = lab.machine()?;
    guest.configure("")?;
    let file = lab.directory().join("resolv.conf");
    let names = |resolver: IpAddr| std::fs::write(&file, format!("nameserver {resolver}\n"));
    names(RESOLVER_V6)?;
    let session = beside(&guest, &file)?;
    let name = "inner.example.org";
    ensure!(attempt(&guest, &session, name)? == "200 OK", "the control");
    // It moves: the same resolvers, another route.
    lab.dns().address(IPV4_ONLY, &["2a0e:b107:64::c000:aa"]);
    lab.host().space().ip("-6 route replace default via 2a0e:b107:78::1 dev up1")?;
    // Before what was said of the last network is too old anyway.
    eventually("another route is heard of", Duration::from_secs(4), || {
        Ok((attempt(&guest, &session, name)? != "200 OK").then_some(()))
    })?;
    session.stop()?;
    // The same route, other resolvers, which the next question goes to.
    lab.dns().set(IPV4_ONLY, Says::NoSuchName);
    let session = beside(&guest, &file)?;
    ensure!(attempt(&guest, &session, name)? == "200 OK", "the control");
    lab.dns().address("fresh.example.org", &["2a0e:b107:64::192.168.77.10"]);
    lab.dns().set_at(RESOLVER_STUB, IPV4_ONLY, Says::Addresses(vec!["2a0e:b107:64::c000:aa".parse()?]));
    names(RESOLVER_STUB)?;
    ensure!(attempt(&guest, &session, "fresh.example.org")? != "200 OK", "it was not asked first");
    session.stop()
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
    let session = beside(&guest, &file)?;
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
