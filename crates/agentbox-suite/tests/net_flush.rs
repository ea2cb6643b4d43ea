//! Whoever flushes the host's ruleset, again and again, opens nothing to a session: the rules of the host are
//! its second wall, and the first has no rules.

use agentbox_suite::lab::addresses::{LAN, META, OTHER_V4};
use agentbox_suite::lab::{Guest, Lab, alone};
use agentbox_suite::{Programs, Running, eventually};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FLUSHES: usize = 200;
const OPTIONS: &[&str] = &["--network", "public", "--deny", "9.0.0.2"];

/// Whether the host has a table of ours.
fn has_table(lab: &Lab) -> Result<bool> {
    let said = lab.host().space().nft_list(&["tables"])?;
    let tables = said["nftables"].as_array().context("no list")?;
    Ok(tables
        .iter()
        .any(|one| one["table"]["name"].as_str().is_some_and(|name| name.starts_with("agentbox"))))
}

/// A program on the host under the id of a gate: as one that was taken over and had a socket after all.
fn as_gate(guest: &Guest<'_>, lab: &Lab, uid: u32, seconds: &str, targets: &[&str]) -> Command {
    let client = lab.directory().join("client.py");
    let mut command = lab.host().space().command("setpriv");
    let id = uid.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "/usr/bin/python3"]).arg(client);
    command.args(["flood", seconds]).args(targets).current_dir("/");
    command.env("AGENTBOX_SUITE_PERSON", &guest.person.name);
    command
}

fn leased(session: &agentbox_suite::Session<'_>) -> Result<u32> {
    Ok(u32::try_from(session.status()?["uid"].as_u64().context("no uid")?)? + 2)
}

#[test]
fn two_hundred_flushes_under_load_let_nothing_out() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // Lets the client write its file for others than sessions, too.
    lab.client_outside(&["resolve", "work.example.com"])?;
    for name in ["inside.example.org", "also.example.org"] {
        lab.dns().address(name, &["192.168.77.10"]);
    }
    let session = guest.waiting(OPTIONS)?;
    let uid = leased(&session)?;
    ensure!(has_table(&lab)?, "the host has no table");

    let (lan, meta, denied) = (LAN.to_string(), META.to_string(), OTHER_V4.to_string());
    let targets = [
        "flood",
        "40",
        &lan,
        "80",
        "inside.example.org",
        "80",
        &meta,
        "80",
        &denied,
        "80",
        "also.example.org",
        "5432",
    ];
    let flood = guest.client_running(&session, &targets)?;
    let honest = guest.client_running(&session, &["flood", "40", "work.example.com", "80"])?;
    let mut restored = 0;
    for _ in 0..FLUSHES {
        lab.host().space().nft("flush ruleset")?;
        std::thread::sleep(Duration::from_millis(60));
        restored += usize::from(has_table(&lab)?);
    }
    eventually("the table is there again", LIMIT, || Ok(has_table(&lab)?.then_some(())))?;
    println!("the table was back after {restored} of {FLUSHES} flushes");
    let flood = flood.finish(LIMIT)?.success()?.json()?;
    let honest = honest.finish(LIMIT)?.success()?.json()?;
    ensure!(flood["answered"] == 0 && flood["tried"].as_u64() > Some(100), "{flood}");
    // A flush takes the grants of that moment along: those connections are refused, never let through.
    let (answered, tried) = (honest["answered"].as_u64(), honest["tried"].as_u64());
    let (answered, tried) = answered.zip(tried).context("no counts")?;
    println!("{answered} of {tried} connections to an allowed host were made");
    ensure!(tried > 1000 && answered * 100 >= tried * 99, "{honest}");
    // Flushing took the lab's own counters on the host only: these are at the far sides.
    for (name, place) in [("lan", lab.lan()), ("meta", lab.meta())] {
        ensure!(place.packets()?.is_empty(), "{name}: {:?}", place.packets()?);
    }
    ensure!(lab.wan().packets_to(OTHER_V4)? == 0, "{:?}", lab.wan().arrived(OTHER_V4));

    // The second wall, while it stands: the id of the gate gets out nowhere, another does.
    let stands =
        Running::start(&mut as_gate(&guest, &lab, uid, "2", &[&lan, "80"]))?.finish(LIMIT)?.success()?;
    ensure!(stands.json()?["answered"] == 0 && lab.lan().packets()?.is_empty(), "{:?}", lab.lan().packets()?);
    let control =
        Running::start(&mut as_gate(&guest, &lab, 65_534, "1", &[&lan, "80"]))?.finish(LIMIT)?.success()?;
    ensure!(control.json()?["answered"].as_u64() > Some(0), "nobody gets out, so the counters prove nothing");
    let log = guest.ctl(&["log", "--json"])?.success()?.text();
    ensure!(log.contains("firewall-restored"), "{log}");
    session.stop()
}

#[test]
fn without_the_table_of_the_host_the_id_of_a_gate_gets_out() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine_with(Programs::testing()?, &[("AGENTBOX_TEST_SKIP", "firewall-table")])?;
    lab.client_outside(&["resolve", "work.example.com"])?;
    let session = guest.waiting(OPTIONS)?;
    let uid = leased(&session)?;
    let lan = LAN.to_string();
    let control =
        Running::start(&mut as_gate(&guest, &lab, uid, "1", &[&lan, "80"]))?.finish(LIMIT)?.json()?;
    ensure!(control["answered"].as_u64() > Some(0), "something else holds it: {control}");
    ensure!(lab.lan().packets_to(LAN)? > 0);
    // The session itself does not, even so: the first wall stands alone.
    let arrived = lab.lan().packets_to(LAN)?;
    let said = guest.client_in(&session, &["attempt", &lan, "80", &lan, "5432"])?;
    ensure!(said.iter().all(|one| one["outcome"] != "200 OK"), "{said:?}");
    ensure!(lab.lan().packets_to(LAN)? == arrived, "the session arrived");
    session.stop()
}
