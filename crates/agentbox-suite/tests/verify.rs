//! `agentboxctl verify`: what a person is shown of their own machine.

use agentbox_suite::Machine;
use anyhow::{Result, ensure};

#[test]
fn a_person_sees_that_every_attack_is_stopped() -> Result<()> {
    let machine = Machine::new()?;
    let said = machine.ctl(&["verify", "."])?;
    println!("{}", said.text());
    ensure!(said.status == 0, "{said:?}");
    Ok(())
}
