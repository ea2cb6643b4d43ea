//! What a session reaches changes while it runs, at once, and everything about it can be asked.

use agentbox_suite::Session;
use agentbox_suite::eventually;
use agentbox_suite::lab::addresses::{LAN, OTHER_V4};
use agentbox_suite::lab::dns::Says;
use agentbox_suite::lab::{Guest, Lab};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const NOTHING: &[&str] = &["--network", "allowlist"];
/// How soon a running connection ends when it is not allowed any more.
const AT_ONCE: Duration = Duration::from_secs(3);

fn reaches(guest: &Guest<'_>, session: &Session<'_>, host: &str, port: &str) -> Result<bool> {
    let said = guest.client_in(session, &["attempt", host, port])?.remove(0);
    ensure!(said["outcome"] != "timed out", "{said}");
    Ok(said["outcome"] == "200 OK" || said["outcome"] == "server hello")
}

fn why(guest: &Guest<'_>, session: &Session<'_>, what: &str) -> Result<Value> {
    guest.ctl(&["why", &session.id, what, "--json"])?.json()
}

#[test]
fn a_host_is_reached_once_it_is_allowed_and_no_more_once_it_is_denied() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(NOTHING)?;
    ensure!(!reaches(&guest, &session, "work.example.com", "443")?);
    ensure!(why(&guest, &session, "work.example.com:443")?["allowed"] == false);
    guest.ctl(&["allow", &session.id, "work.example.com"])?.success()?;
    ensure!(reaches(&guest, &session, "work.example.com", "443")?);
    ensure!(reaches(&guest, &session, "work.example.com", "80")?);
    ensure!(!reaches(&guest, &session, "work.example.com", "8443")?, "another port than the rule's");
    ensure!(!reaches(&guest, &session, "other.example.com", "443")?, "another name than the rule's");
    ensure!(why(&guest, &session, "work.example.com:443")?["allowed"] == true);
    guest.ctl(&["deny", &session.id, "work.example.com"])?.success()?;
    ensure!(!reaches(&guest, &session, "work.example.com", "443")?);
    let answer = why(&guest, &session, "work.example.com")?;
    ensure!(
        answer["allowed"] == false && answer["rule"].to_string().contains("work.example.com"),
        "{answer}"
    );
    let text = guest.ctl(&["why", &session.id, "other.example.com"])?.success()?.text();
    ensure!(text.contains("is refused") && text.contains("agentboxctl allow"), "{text}");
    let log = guest.ctl(&["log", &session.id, "--json"])?.success()?.text();
    ensure!(log.contains("rule-added") && log.contains("work.example.com"), "{log}");
    Ok(())
}

#[test]
fn a_running_connection_is_cut_when_its_host_is_denied_and_others_are_not() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(
        &[
            NOTHING,
            &[
                "--allow",
                "work.example.com:7",
                "--allow",
                "work.example.com:5432",
                "--allow",
                "other.example.com:5432",
            ],
        ]
        .concat(),
    )?;
    let mut cut = guest.client_running(&session, &["hold", "work.example.com", "5432"])?;
    let mut stays = guest.client_running(&session, &["hold", "other.example.com", "5432"])?;
    for held in [&mut cut, &mut stays] {
        ensure!(held.line(LIMIT)?.contains("echo"));
    }
    guest.ctl(&["deny", &session.id, "work.example.com"])?.success()?;
    let denied = Instant::now();
    while cut.line(LIMIT)?.contains("echo") {}
    ensure!(denied.elapsed() < AT_ONCE, "it went on for {:?}", denied.elapsed());
    for _ in 0..10 {
        ensure!(stays.line(LIMIT)?.contains("echo"), "the other was cut as well");
    }
    session.stop()
}

#[test]
fn what_is_allowed_for_a_time_ends_with_it() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(NOTHING)?;
    guest.ctl(&["allow", &session.id, "work.example.com:5432", "--for", "4s"])?.success()?;
    let allowed = Instant::now();
    let mut held = guest.client_running(&session, &["hold", "work.example.com", "5432"])?;
    while held.line(LIMIT)?.contains("echo") {}
    let lasted = allowed.elapsed();
    ensure!(lasted > Duration::from_secs(2) && lasted < Duration::from_secs(4) + AT_ONCE, "{lasted:?}");
    ensure!(!reaches(&guest, &session, "work.example.com", "5432")?);
    session.stop()
}

#[test]
fn a_budget_ends_what_a_session_sends() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure_more(
        "[profile.small]\nupload_max = 3000000\n[profile.name]\nname_upload_max = 1000000\n",
    )?;
    let options = |profile| {
        [NOTHING, &["--profile", profile, "--allow", "work.example.com", "--allow", "other.example.com"]]
            .concat()
    };
    let send = |session: &Session<'_>, host: &str, bytes: u32| -> Result<bool> {
        let script = format!(
            "head -c {bytes} /dev/zero | curl -sS --max-time 20 --http1.1 --data-binary @- https://{host}/echo"
        );
        Ok(guest.sh_in(session, &script)?.text().contains(&format!("\"bytes\":{bytes},")))
    };
    let sent = |name: &str| -> u64 {
        let tls = format!("TLS {name}");
        lab.wan().arrivals().iter().filter(|one| one.said.contains(&tls)).map(|one| one.bytes).sum()
    };
    let session = guest.waiting(&options("name"))?;
    ensure!(send(&session, "work.example.com", 400_000)?);
    ensure!(!send(&session, "work.example.com", 5_000_000)?, "more than the budget of a name was sent");
    ensure!(!reaches(&guest, &session, "work.example.com", "443")?, "a name without budget is reached");
    ensure!(send(&session, "other.example.com", 400_000)?, "another name has a budget of its own");
    eventually("the far side has counted", LIMIT, || Ok((sent("work.example.com") > 400_000).then_some(())))?;
    ensure!(sent("work.example.com") < 1_400_000, "{} bytes arrived", sent("work.example.com"));
    session.stop()?;

    let session = guest.waiting(&options("small"))?;
    ensure!(send(&session, "work.example.com", 400_000)?);
    ensure!(!send(&session, "other.example.com", 9_000_000)?, "more than the whole budget was sent");
    ensure!(
        !reaches(&guest, &session, "work.example.com", "443")?,
        "a session without budget reaches something"
    );
    let listed = guest.sh_in(&session, "cat /run/agentbox/denials.jsonl")?.text();
    ensure!(listed.contains("budget"), "{listed}");
    session.stop()
}

#[test]
fn an_internal_host_is_reached_by_its_grant_and_nothing_else_is() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    lab.dns().set("printer.example.org", Says::Addresses(vec![LAN]));
    lab.dns().set("scanner.example.org", Says::Addresses(vec![LAN]));
    guest.configure_more("[profile.office]\ninternal = [\"printer.example.org\"]\n")?;
    let session =
        guest.waiting(&[NOTHING, &["--profile", "office", "--allow", "scanner.example.org"]].concat())?;
    let said = guest.sh_in(&session, "curl -sS --max-time 10 http://printer.example.org/")?.success()?;
    ensure!(said.text() == "lan\n", "{said:?}");
    ensure!(
        !reaches(&guest, &session, "scanner.example.org", "80")?,
        "an internal address by a name without grant"
    );
    ensure!(!reaches(&guest, &session, &LAN.to_string(), "80")?, "its address without its name");
    session.stop()?;
    // By its address and port.
    let target = format!("{LAN}:80");
    let session = guest.waiting(&[NOTHING, &["--allow", &target]].concat())?;
    let said = guest.sh_in(&session, &format!("curl -sS --max-time 10 http://{LAN}/"))?.success()?;
    ensure!(said.text() == "lan\n", "{said:?}");
    ensure!(!reaches(&guest, &session, &LAN.to_string(), "8080")?, "another port of it");
    ensure!(!reaches(&guest, &session, "192.168.77.53", "80")?, "its neighbour");
    session.stop()
}

#[test]
fn a_port_of_the_host_is_reached_by_its_rule_and_no_other_is() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&[NOTHING, &["--allow", "host:8080"]].concat())?;
    for name in ["host.agentbox.internal", "host"] {
        let said =
            guest.sh_in(&session, &format!("curl -sS --max-time 10 http://{name}:8080/"))?.success()?;
        ensure!(said.text() == "host\n", "{name}: {said:?}");
        ensure!(!reaches(&guest, &session, name, "5432")?, "{name}:5432 without a rule");
    }
    ensure!(!reaches(&guest, &session, "127.0.0.1", "8080")?, "the loopback inside is the host's");
    ensure!(lab.host().arrivals().iter().all(|arrival| arrival.port == 8080), "{:?}", lab.host().arrivals());
    session.stop()
}

#[test]
fn the_status_tells_what_a_session_reaches_and_has_sent() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&[NOTHING, &["--allow", "work.example.com"]].concat())?;
    guest
        .sh_in(
            &session,
            "head -c 200000 /dev/zero | curl -sS --data-binary @- https://work.example.com/echo",
        )?
        .success()?;
    let network = eventually("the status counts", LIMIT, || {
        let status = session.status()?;
        Ok(status["network"].to_string().contains("work.example.com").then(|| status["network"].clone()))
    });
    let status = session.status()?;
    network.with_context(|| status.to_string())?;
    ensure!(session.posture_diff()?.is_empty(), "{:#?}", session.posture_diff()?);
    session.stop()
}

#[test]
fn an_address_that_is_denied_is_refused_by_every_name() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    lab.dns().set("one.example.org", Says::Addresses(vec![OTHER_V4]));
    let deny = OTHER_V4.to_string();
    let session = guest.waiting(&["--network", "public", "--deny", &deny])?;
    ensure!(!reaches(&guest, &session, "one.example.org", "80")?);
    ensure!(!reaches(&guest, &session, &deny, "443")?);
    ensure!(reaches(&guest, &session, "work.example.com", "443")?);
    ensure!(lab.wan().packets_to(OTHER_V4)? == 0, "something arrived");
    session.stop()
}

#[test]
fn no_number_of_refusals_hides_where_bytes_went() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "allowlist", "--allow", "work.example.com"])?;
    let refused = "import socket\nfor number in range(1500):\n\
         \x20   try: socket.create_connection(('9.9.%d.%d' % divmod(number, 250), 22), 5).recv(1)\n\
         \x20   except OSError: pass";
    session.exec(&["/usr/bin/python3", "-c", refused])?.success()?;
    let send =
        "head -c 1200000 /dev/zero | curl -sS --http1.1 --data-binary @- https://work.example.com/echo";
    ensure!(guest.sh_in(&session, send)?.text().contains("\"bytes\":1200000,"));
    let events = |name: &str| -> Result<Vec<Value>> {
        let log = guest.ctl(&["log", &session.id, "--json"])?.success()?.text();
        let all = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(all.into_iter().filter(|event| event["event"] == name).collect())
    };
    let allowed = events("net-allowed")?;
    ensure!(allowed.iter().any(|event| event["destination"] == "work.example.com"), "{allowed:?}");
    eventually("the status says how much", LIMIT, || {
        let destinations = session.status()?["network"]["destinations"].clone();
        let first = destinations[0]["sent_bytes"].as_u64();
        Ok((destinations[0]["destination"] == "work.example.com" && first > Some(1_200_000)).then_some(()))
    })?;
    session.stop()?;
    // The one with the most bytes first; behind it questions for the name.
    let totals = events("net-total")?;
    ensure!(
        totals[0]["destination"] == "work.example.com" && totals[0]["sent_bytes"].as_u64() > Some(1_200_000),
        "{totals:?}"
    );
    Ok(())
}
