//! Names, resolvers, servers and the session itself may lie: nothing that a rule does not allow is reached,
//! and whoever is honest is still served.

use agentbox_suite::lab::addresses::{
    BLACKHOLE, CDN_V4, CDN_V6, CLOSE, CLOSED, DRIP, FLOOD, GARBAGE, LAN, META, OTHER_V4, RESET, RESOLVER_LAN,
    RESOLVER_V4, SILENT, TAILNET,
};
use agentbox_suite::lab::dns::Says;
use agentbox_suite::lab::dns::message::{A, AAAA};
use agentbox_suite::lab::{Guest, Lab, alone};
use agentbox_suite::{Session, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const OPTIONS: &[&str] =
    &["--network", "allowlist", "--allow", "work.example.com", "--allow", "*.example.org"];
const ALERT_ACCESS_DENIED: &str = "alert 49";

fn address(text: &str) -> Result<IpAddr> {
    text.parse().with_context(|| text.to_owned())
}

/// The honest name still works.
fn still_works(guest: &Guest<'_>, session: &Session<'_>) -> Result<()> {
    let said = guest.sh_in(session, "curl -sS --max-time 10 https://work.example.com/version")?;
    ensure!(said.text() == "2.0\n", "{said:?}");
    Ok(())
}

/// One attempt, which has to fail in bounded time.
fn fails(guest: &Guest<'_>, session: &Session<'_>, host: &str, port: &str) -> Result<Value> {
    let said = guest.client_in(session, &["attempt", host, port])?.remove(0);
    let worked = ["200 OK", "server hello"].iter().any(|word| said["outcome"] == *word);
    ensure!(!worked && said["outcome"] != "timed out", "{said}");
    Ok(said)
}

fn nothing_arrived(lab: &Lab) -> Result<()> {
    for (name, place) in
        [("lan", lab.lan()), ("lan6", lab.lan6()), ("tailnet", lab.tailnet()), ("meta", lab.meta())]
    {
        ensure!(place.packets()?.is_empty(), "{name} got {:?}: {:?}", place.packets()?, place.arrivals());
    }
    ensure!(lab.host().arrivals().is_empty(), "the host got {:?}", lab.host().arrivals());
    Ok(())
}

#[test]
fn a_shared_address_serves_no_name_that_is_not_allowed() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    for name in ["refused.example.com", "example.com", "work.example.com.evil.example.net"] {
        let said = guest.client_in(&session, &["tls", "work.example.com", name])?.remove(0);
        ensure!(said["outcome"] == ALERT_ACCESS_DENIED, "{said}");
    }
    let get = |host: &str, target: &str| format!(r"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (what, text) in [
        ("another Host", get("refused.example.com", "/")),
        ("a second request", get("work.example.com", "/") + &get("refused.example.com", "/")),
        ("an absolute form", get("work.example.com", "http://refused.example.com/")),
        ("CONNECT", r"CONNECT refused.example.com:443 HTTP/1.1\r\nHost: work.example.com\r\n\r\n".to_owned()),
        (
            "two Hosts",
            r"GET / HTTP/1.1\r\nHost: work.example.com\r\nHost: refused.example.com\r\n\r\n".to_owned(),
        ),
        ("no Host", r"GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("HTTP/2 at once", r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (
            "a body that hides a request",
            format!(
                r"POST /echo HTTP/1.1\r\nHost: work.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}",
                get("refused.example.com", "/")
            ),
        ),
    ] {
        let said = guest.client_in(&session, &["raw", "work.example.com", "80", &text])?;
        ensure!(!said[0]["said"].to_string().contains("hello from refused"), "{what}: {said:?}");
        ensure!(!lab.wan().heard_of("refused.example.com"), "{what}: {:?}", lab.wan().arrivals());
    }
    still_works(&guest, &session)
}

#[test]
fn a_name_whose_addresses_change_all_the_time_never_fails() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let pool: Vec<IpAddr> = (0..64).map(|last| IpAddr::from([9, 1, 0, last])).collect();
    lab.dns().set("turning.example.org", Says::Rotating(pool, 2, Duration::from_secs(1)));
    let session = guest.waiting(OPTIONS)?;
    let until = Instant::now() + Duration::from_secs(8);
    let mut rounds = 0;
    while Instant::now() < until {
        let said = guest.client_in(&session, &["many", "turning.example.org", "80", "100", "8"])?;
        ensure!(said[0]["wrong"] == serde_json::json!({}), "{said:?}");
        rounds += 1;
    }
    let reached: std::collections::BTreeSet<IpAddr> = lab.wan().arrivals().iter().map(|one| one.to).collect();
    ensure!(reached.len() >= 4, "only {reached:?} in {rounds} rounds");
    Ok(())
}

#[test]
fn a_name_that_turns_internal_is_refused_from_then_on() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    for (name, inside) in
        [("lan", LAN), ("meta", META), ("tailnet", TAILNET), ("loopback", address("127.0.0.1")?)]
    {
        let name = format!("{name}.example.org");
        // The first answers to questions of both types are public.
        lab.dns().set(&name, Says::Then(vec![CDN_V4], 2, vec![inside]));
        let mut refused = 0;
        for round in 0..5 {
            let said = guest.client_in(&session, &["attempt", &name, "80"])?.remove(0);
            ensure!(round > 0 || said["outcome"] == "200 OK", "it was public at first: {said}");
            ensure!(!said["text"].to_string().contains("\\nlan"), "{said}");
            refused += u32::from(said["outcome"] != "200 OK");
            std::thread::sleep(Duration::from_millis(700));
        }
        ensure!(refused >= 1, "{name} was never refused");
        fails(&guest, &session, &name, "80")?;
    }
    nothing_arrived(&lab)
}

#[test]
fn no_detour_of_names_leads_to_an_internal_address() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let dns = lab.dns();
    dns.address("printer.lan.example.net", &["192.168.77.10"]);
    dns.set("alias.example.org", Says::Alias("printer.lan.example.net".into()));
    dns.set("long.example.org", Says::Alias("alias.example.org".into()));
    dns.address("mapped.example.org", &["::ffff:192.168.77.10"]);
    dns.address("nat64.example.org", &["64:ff9b::c0a8:4d0a"]);
    dns.address("zero.example.org", &["0.0.0.0"]);
    // Public by one family and internal by the other, and both in one answer.
    dns.address("split.example.org", &["192.168.77.10", "fd7a:115c:a1e0::10"]);
    dns.address("mixed.example.org", &["192.168.77.10", "9.0.0.2", "169.254.169.254"]);
    for options in [OPTIONS, &["--network", "public"]] {
        let session = guest.waiting(options)?;
        for name in ["alias", "long", "mapped", "nat64", "zero", "split"] {
            for port in ["80", "443", "5432"] {
                fails(&guest, &session, &format!("{name}.example.org"), port)
                    .with_context(|| format!("{options:?}"))?;
            }
        }
        // The public one of several is used and the others are not.
        let said = guest.client_in(&session, &["attempt", "mixed.example.org", "80"])?.remove(0);
        ensure!(said["outcome"] == "200 OK" || said["outcome"] == "403 Forbidden", "{said}");
        still_works(&guest, &session)?;
        session.stop()?;
    }
    nothing_arrived(&lab)
}

#[test]
fn a_name_that_only_one_resolver_calls_internal_is_refused_as_that_one_says() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure(&format!("resolvers = [\"{RESOLVER_LAN}\", \"{RESOLVER_V4}\"]"))?;
    lab.dns().set("horizon.example.org", Says::Addresses(vec![OTHER_V4]));
    lab.dns().set_at(RESOLVER_LAN, "horizon.example.org", Says::Addresses(vec![LAN]));
    let session = guest.waiting(OPTIONS)?;
    for port in ["80", "443", "5432"] {
        fails(&guest, &session, "horizon.example.org", port)?;
    }
    still_works(&guest, &session)?;
    ensure!(lab.lan().packets_to(LAN)? == 0, "the neighbour got {:?}", lab.lan().arrivals());
    session.stop()
}

#[test]
fn a_resolver_that_lies_is_not_believed() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let forged = address("9.99.0.1")?;
    for (number, says) in [
        Says::WrongId(vec![forged]),
        Says::WrongQuestion(vec![forged]),
        Says::CompressionLoop,
        Says::AliasLoop,
        Says::Garbage,
        Says::Silence,
        Says::Failure,
        Says::TruncatedForever,
        Says::Nothing,
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("liar{number}.example.org");
        lab.dns().set(&name, says.clone());
        let began = Instant::now();
        let said = guest.client_in(&session, &["attempt", &name, "80"])?.remove(0);
        ensure!(said["outcome"] != "200 OK" && began.elapsed() < Duration::from_secs(30), "{says:?}: {said}");
        still_works(&guest, &session).with_context(|| format!("after {says:?}"))?;
    }
    ensure!(lab.wan().packets_to(forged)? == 0, "a forged answer was believed");

    lab.dns().set("raced.example.org", Says::ForgedThenRight(vec![forged], vec![OTHER_V4]));
    lab.dns().set("large.example.org", Says::Truncated(vec![OTHER_V4]));
    for name in ["raced.example.org", "large.example.org"] {
        let said = guest.client_in(&session, &["attempt", name, "80"])?.remove(0);
        ensure!(said["outcome"] == "200 OK", "{said}");
    }
    lab.dns().set("huge.example.org", Says::Huge(OTHER_V4));
    guest.client_in(&session, &["attempt", "huge.example.org", "80"])?;
    // What comes along for another name stays where it came.
    lab.dns().set("poison.example.org", Says::Poison(vec![OTHER_V4], "work.example.com".into(), forged));
    guest.client_in(&session, &["attempt", "poison.example.org", "80"])?;
    still_works(&guest, &session)?;
    ensure!(lab.wan().packets_to(forged)? == 0, "a forged answer was believed");
    nothing_arrived(&lab)
}

#[test]
fn a_question_never_has_the_id_and_port_of_the_one_before() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let names: Vec<String> = (0..64).map(|number| format!("n{number}.example.org")).collect();
    names.iter().for_each(|name| lab.dns().address(name, &["9.0.0.2"]));
    let mut arguments = vec!["resolve"];
    arguments.extend(names.iter().map(String::as_str));
    guest.client_in(&session, &arguments)?;
    let asked = lab.dns().asked_for(".example.org");
    let different = |of: fn(&agentbox_suite::lab::dns::Question) -> u16| {
        asked.iter().map(of).collect::<std::collections::BTreeSet<u16>>().len()
    };
    ensure!(asked.len() >= 64, "only {} questions", asked.len());
    ensure!(different(|question| question.id) * 10 > asked.len() * 9, "ids repeat");
    ensure!(different(|question| question.from.port()) * 10 > asked.len() * 8, "ports repeat");
    Ok(())
}

#[test]
fn servers_that_misbehave_harm_only_who_talks_to_them() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let servers = [
        ("silent", SILENT),
        ("garbage", GARBAGE),
        ("reset", RESET),
        ("drip", DRIP),
        ("close", CLOSE),
        ("flood", FLOOD),
        ("blackhole", BLACKHOLE),
        ("closed", CLOSED),
    ];
    for (name, address) in servers {
        lab.dns().set(&format!("{name}.example.org"), Says::Addresses(vec![address]));
    }
    let urls = |scheme: &str| {
        servers
            .map(|(name, _)| format!("curl -sS --max-time 8 -o /dev/null {scheme}://{name}.example.org/ &"))
            .join("\n")
    };
    let script = format!(
        "{}\n{}\nsleep 1; curl -sS --max-time 5 https://work.example.com/version; wait",
        urls("http"),
        urls("https")
    );
    let said = guest.sh_in(&session, &script)?;
    ensure!(said.text() == "2.0\n", "{said:?}");
    // One of two addresses that never answers does not keep anybody from the other.
    lab.dns().set("half.example.org", Says::Addresses(vec![BLACKHOLE, CDN_V6]));
    let said = guest.client_in(&session, &["attempt", "half.example.org", "80"])?.remove(0);
    ensure!(said["outcome"] == "200 OK" && said["seconds"].as_f64() < Some(4.0), "{said}");
    still_works(&guest, &session)
}

#[test]
fn clients_that_never_go_on_are_put_up_with_and_then_ended() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    for port in ["443", "80"] {
        let mut loris = guest.client_running(&session, &["loris", "work.example.com", port, "150", "45"])?;
        let begun: Value = serde_json::from_str(&loris.line(Duration::from_secs(30))?)?;
        ensure!(begun["open"] == 150, "{begun}");
        let began = Instant::now();
        still_works(&guest, &session)?;
        ensure!(began.elapsed() < Duration::from_secs(5), "{:?} beside them", began.elapsed());
        let ended: Value = serde_json::from_str(&loris.line(Duration::from_secs(60))?)?;
        ensure!(ended["open"] == 0, "{ended}");
    }
    Ok(())
}

#[test]
fn hellos_that_never_go_on_take_little_memory_of_the_gate() -> Result<()> {
    const MOST_KIB: u64 = 48 << 10;
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let gate = session.status()?["network"]["gate_pid"].as_u64().context("no gate in the status")?;
    for name in ["refused.example.com", "work.example.com"] {
        // Together some sixty megabytes.
        let mut begun = guest.client_running(&session, &["begun", name, "443", "1000", "5"])?;
        let said: Value = serde_json::from_str(&begun.line(Duration::from_secs(60))?)?;
        ensure!(said["begun"].as_u64() > Some(900), "{said}");
        let status = std::fs::read_to_string(format!("/proc/{gate}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
        let memory: u64 = line.trim().trim_end_matches(" kB").parse()?;
        ensure!(memory < MOST_KIB, "{name}: the gate takes {memory} KiB");
        still_works(&guest, &session)?;
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_leave_a_gate_that_works() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let said = guest.client_in(&session, &["many", "work.example.com", "80", "10000", "40"])?;
    ensure!(said[0]["wrong"] == serde_json::json!({}), "{said:?}");
    still_works(&guest, &session)
}

#[test]
fn no_label_of_a_name_that_is_not_allowed_reaches_a_resolver() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    lab.dns().set("*.evil.example.net", Says::Addresses(vec![OTHER_V4]));
    let session = guest.waiting(OPTIONS)?;
    let asked = guest.client_in(
        &session,
        &["ask", "secret%d.evil.example.net", "0-70", "99", "249-260", "32768", "65535"],
    )?;
    ensure!(asked.len() > 160, "{asked:?}");
    for said in &asked {
        ensure!(said["error"].is_null() && said["same_id"] == true, "a question hangs: {said}");
    }
    guest.client_in(
        &session,
        &["attempt", "secret-a.evil.example.net", "80", "secret-b.evil.example.net", "443"],
    )?;
    ensure!(lab.dns().asked_for("evil").is_empty(), "{:?}", lab.dns().asked_for("evil"));
    // Types that carry what one likes are forwarded for nobody.
    guest.client_in(&session, &["ask", "t%d.example.org", "0-70", "255", "65535"])?;
    let public = guest.waiting(&["--network", "public"])?;
    guest.client_in(&public, &["ask", "p%d.evil.example.net", "0-70", "255", "65535"])?;
    for question in lab.dns().questions() {
        ensure!([A, AAAA].contains(&question.kind), "{question:?}");
    }
    // Questions past the gate reach nobody.
    for options in [&session, &public] {
        guest.client_in(
            options,
            &["datagrams", "9.53.53.53", "53", "192.168.77.53", "53", "100.100.100.100", "53"],
        )?;
    }
    nothing_arrived(&lab)
}

#[test]
fn when_and_how_often_a_name_is_asked_for_is_told_nobody() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // Outside a resolver hears of every moment.
    for _ in 0..3 {
        lab.client_outside(&["ask", "work.example.com", "1"])?;
    }
    ensure!(lab.dns().asked_for("work.example.com").len() >= 3, "the resolver hears of nothing");
    let (asked, arrived) = (lab.dns().questions().len(), lab.wan().arrivals().len());
    let session = guest.waiting(OPTIONS)?;
    // The start is told: whether the network translates is asked then, and not again for what is refused.
    let asked = eventually("the network is asked", Duration::from_secs(5), || {
        let since = lab.dns().questions().split_off(asked);
        let is_start = since.iter().all(|question| question.name == "ipv4only.arpa");
        ensure!(is_start, "{since:?}");
        Ok((!since.is_empty()).then_some(asked + since.len()))
    })?;
    // A letter by each type and number of questions, for an allowed name and for one that is not; and one by
    // each moment of a connection that is refused.
    for kinds in [&["1"][..], &["28", "28"], &["1", "65", "1", "28"], &["16", "99", "255"]] {
        for name in ["work.example.com", "WORK.example.COM", "refused.example.com"] {
            let said = guest.client_in(&session, &[&["ask", name][..], kinds].concat())?;
            ensure!(said.len() >= kinds.len(), "{said:?}");
        }
        fails(&guest, &session, "refused.example.com", "443")?;
        fails(&guest, &session, "work.example.com", "8080")?;
    }
    let questions = lab.dns().questions();
    ensure!(questions.len() == asked, "{:?}", &questions[asked..]);
    ensure!(lab.wan().arrivals().len() == arrived, "{:?}", lab.wan().arrivals());
    still_works(&guest, &session)?;
    ensure!(lab.dns().questions().len() > asked, "an honest connection asks for the name");
    nothing_arrived(&lab)
}
