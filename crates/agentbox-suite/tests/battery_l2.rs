//! Posture L2: what the threat model promises, attack by attack.

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
    Ok(())
}

#[test]
fn no_attack_works_inside_l2() -> Result<()> {
    let machine = Machine::new()?;
    let mut battery = Battery::list(&machine)?;
    battery.try_outside(&machine)?;
    let verdict = battery.try_inside(&machine, Level::L2)?;
    println!("{}", verdict.table);
    assert!(verdict.red.is_empty(), "{:#?}", verdict.red);
    Ok(())
}
