//! The attacks on the network, T2 and T5: each works from a host, and none from a session, in every mode of
//! its network. Far sides judge, which look for the marks of attacks in all that arrives.

use agentbox_suite::Programs;
use agentbox_suite::battery::network::{Mode, is_reached_by_both_families, machine_in};
use agentbox_suite::battery::{Battery, Level};
use agentbox_suite::lab::{Field, alone};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;

fn every_mode(level: Level) -> Result<()> {
    let _alone = alone()?;
    let field = Field::new()?;
    let machine = machine_in(&field, Programs::real()?, &[])?;
    let mut battery = Battery::of_network(&machine)?;
    assert!(battery.len() > 150, "only {} attacks", battery.len());
    let red = battery.try_from_host(&machine, &field)?;
    println!("{}", battery.outside_table());
    assert!(red.is_empty(), "{red:#?}");
    let mut all = Vec::new();
    for mode in [Mode::Allowlist, Mode::Public, Mode::None] {
        let verdict = battery.try_from_session(&machine, &field, level, mode)?;
        println!("{}", verdict.table);
        all.extend(verdict.red.into_iter().map(|red| (mode, red)));
        if mode != Mode::None {
            is_reached_by_both_families(&machine, mode)?;
        }
    }
    assert!(all.is_empty(), "{all:#?}");
    Ok(())
}

/// Each wall with those that stand before or behind it and would be all that the attacks meet; they are taken
/// away first. Last, what has to notice it.
const WALLS: &[(&str, &[&str], &[&str])] = &[
    // The session's own network namespace, and the host's table behind it.
    ("namespace-net", &["firewall-table"], &["t5.lan4", "t5.lan6", "t5.metadata", "t5.ends"]),
    ("firewall-table", &["namespace-net"], &["t5.lan4", "t5.lan6", "t5.metadata", "t5.ends"]),
    // The table in the namespace, without which nobody comes to the gate; IPv6.
    ("netns-table", &[], &["t2.tls-other-name"]),
    ("netns-ipv6", &[], &["both families"]),
    // What the gate alone judges: names in TLS and HTTP, and names that are asked for.
    ("gate-claims", &[], &["t2.tls-other-name", "t2.http-other-host"]),
    ("gate-names", &[], &["t2.label-a"]),
    // Rules and internal ranges are judged by the gate and by the supervisor.
    ("supervisor-rules", &["gate-rules"], &["t2.refused-name", "t5.metadata", "t5.ends"]),
    ("gate-rules", &["supervisor-rules"], &["t2.refused-name", "t5.metadata", "t5.ends"]),
    // What lies next to the host may have global addresses: only the supervisor knows.
    ("supervisor-reach", &[], &["t5.lan6"]),
    ("supervisor-reach", &["gate-rules", "supervisor-rules"], &["t2.name-to-internal", "t5.lan4"]),
];

/// What turns red with these walls away. With `public` every address comes as far as to the gate.
fn noticed(field: &Field, away: &str) -> Result<BTreeSet<String>> {
    let environment: &[(&str, &str)] = if away.is_empty() { &[] } else { &[("AGENTBOX_TEST_SKIP", away)] };
    let machine = machine_in(field, Programs::testing()?, environment)?;
    let mut battery = Battery::of_network(&machine)?;
    let all = WALLS.iter().flat_map(|(_, _, by)| by.iter().copied());
    let mut ids: Vec<&str> = all.filter(|by| by.contains('.')).collect();
    ids.sort_unstable();
    ids.dedup();
    battery.only(&ids)?;
    let verdict = battery.try_from_session(&machine, field, Level::L2, Mode::Public)?;
    let mut seen: BTreeSet<String> = verdict.red.into_iter().map(|red| red.id).collect();
    if is_reached_by_both_families(&machine, Mode::Public).is_err() {
        seen.insert("both families".to_owned());
    }
    Ok(seen)
}

#[test]
fn every_wall_of_the_network_is_missed_when_it_is_away() -> Result<()> {
    let field = Field::new()?;
    let clean = noticed(&field, "")?;
    println!("with every wall: {clean:?}");
    ensure!(clean.is_empty(), "with every wall: {clean:#?}");
    let mut unnoticed = Vec::new();
    for (wall, others, by) in WALLS {
        let before = if others.is_empty() { BTreeSet::new() } else { noticed(&field, &others.join(","))? };
        let away: Vec<&str> = others.iter().chain([wall]).copied().collect();
        let seen: BTreeSet<_> = noticed(&field, &away.join(","))?.difference(&before).cloned().collect();
        println!("{wall} beside {others:?}: {seen:?}");
        for by in by.iter().filter(|by| !seen.contains(**by)) {
            unnoticed.push(format!("{wall} beside {others:?}: {by} did not notice; these did: {seen:?}"));
        }
    }
    ensure!(unnoticed.is_empty(), "{unnoticed:#?}");
    Ok(())
}

#[test]
fn no_attack_on_the_network_works_inside_l2() -> Result<()> {
    every_mode(Level::L2)
}

#[test]
fn no_attack_on_the_network_works_inside_l1() -> Result<()> {
    every_mode(Level::L1)
}
