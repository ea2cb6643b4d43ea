//! New connections: from the call to the first byte of the other side.

use super::client::times;
use super::service::{ADDRESS, BYTE_PORT, NAME};
use super::{Measured, Sides};
use anyhow::Result;

/// Connections of a turn.
const CONNECTIONS: u32 = 100;

/// Direct and through the gate, turn by turn.
pub(super) fn measure(sides: &Sides, rounds: usize) -> Result<Vec<Measured>> {
    let address = ADDRESS.to_string();
    let (mut direct, mut gate) = (Vec::new(), Vec::new());
    for round in 0..=rounds.div_ceil(2) {
        for (inside, host, all) in [(false, address.as_str(), &mut direct), (true, NAME, &mut gate)] {
            let arguments = ["connect", host, &BYTE_PORT.to_string(), &CONNECTIONS.to_string()];
            let times = times(&sides.measure(inside, &arguments)?)?;
            if round > 0 {
                all.extend(times);
            }
        }
    }
    let row = |name: &str, times| Measured { name: name.to_owned(), times: Ok(times) };
    Ok(vec![row("direct", direct), row("through the gate", gate)])
}
