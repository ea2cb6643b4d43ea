//! Posture L2: what the threat model promises, attack by attack. Threats that are not here are attacks on the
//! network (`battery_network`) or made of the attacks of others.

use agentbox_suite::Machine;
use agentbox_suite::battery::{Battery, Level};
use anyhow::Result;

#[test]
fn every_attack_works_where_nothing_holds_it() -> Result<()> {
    let machine = Machine::new()?;
    let mut battery = Battery::list(&machine)?;
    let red = battery.try_outside(&machine)?;
    println!("{}", battery.outside_table());
    assert!(red.is_empty(), "{red:#?}");
    assert!(battery.len() > 150, "only {} attacks", battery.len());
    // Each is tried inside by one of the tests below.
    assert!(
        battery.threats().into_iter().eq(["t1", "t2", "t4", "t6", "t7", "t8"]),
        "{:?}",
        battery.threats()
    );
    Ok(())
}

fn inside(threat: &str) -> Result<()> {
    let machine = Machine::new()?;
    let mut battery = Battery::list(&machine)?;
    battery.only_of(threat)?;
    battery.try_outside(&machine)?;
    let verdict = battery.try_inside(&machine, Level::L2)?;
    println!("{}", verdict.table);
    assert!(verdict.red.is_empty(), "{:#?}", verdict.red);
    Ok(())
}

#[test]
fn no_attack_of_t1_works_inside_l2() -> Result<()> {
    inside("t1")
}

#[test]
fn no_attack_of_t2_works_inside_l2() -> Result<()> {
    inside("t2")
}

#[test]
fn no_attack_of_t4_works_inside_l2() -> Result<()> {
    inside("t4")
}

#[test]
fn no_attack_of_t6_works_inside_l2() -> Result<()> {
    inside("t6")
}

#[test]
fn no_attack_of_t7_works_inside_l2() -> Result<()> {
    inside("t7")
}

#[test]
fn no_attack_of_t8_works_inside_l2() -> Result<()> {
    inside("t8")
}
