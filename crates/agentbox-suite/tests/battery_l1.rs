//! Posture L1: what is promised although the session keeps the caller's identity and sees the host's files.

use agentbox_suite::Machine;
use agentbox_suite::battery::{Battery, Level};
use anyhow::Result;

#[test]
fn no_attack_that_l1_answers_works_inside_l1() -> Result<()> {
    let machine = Machine::new()?;
    let mut battery = Battery::list(&machine)?;
    battery.try_outside(&machine)?;
    let verdict = battery.try_inside(&machine, Level::L1)?;
    println!("{}", verdict.table);
    assert!(verdict.red.is_empty(), "{:#?}", verdict.red);
    Ok(())
}
