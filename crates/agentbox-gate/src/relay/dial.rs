//! Makes a connection to one of several addresses (RFC 8305, "happy eyeballs").

use super::socket::{self, Socket};
use crate::link::Link;
use crate::runtime::{Either, Event, Fd, Task, race, sleep, spawn, timeout};
use agentbox_plan::net::{Destination, Reason};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Time that an attempt has before the next one begins beside it (RFC 8305, section 8).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);
/// Time for all attempts together.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Most addresses that are tried: names with more of them have many equal ones.
const MAX_ATTEMPTS: usize = 8;

type Outcome = (IpAddr, Result<Socket, Reason>);

/// Attempts that run side by side; they end with this.
#[derive(Default)]
struct Attempts {
    running: Vec<Task>,
    open: Rc<Cell<usize>>,
    outcomes: Rc<RefCell<VecDeque<Outcome>>>,
    ended: Rc<Event>,
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.running.iter().for_each(Task::cancel);
    }
}

impl Attempts {
    fn begin(&mut self, link: &Link, destination: &Destination, address: IpAddr, port: u16) {
        let (link, destination) = (link.clone(), destination.clone());
        let (open, outcomes, ended) =
            (Rc::clone(&self.open), Rc::clone(&self.outcomes), Rc::clone(&self.ended));
        open.set(open.get() + 1);
        self.running.push(spawn(async move {
            let outcome = attempt(&link, destination, address, port).await;
            open.set(open.get() - 1);
            outcomes.borrow_mut().push_back((address, outcome));
            ended.notify();
        }));
    }

    fn next(&self) -> Option<Outcome> {
        self.outcomes.borrow_mut().pop_front()
    }
}

async fn attempt(
    link: &Link,
    destination: Destination,
    address: IpAddr,
    port: u16,
) -> Result<Socket, Reason> {
    let socket = link.dial(destination, address, port).await?;
    let socket = Fd::new(socket).map_err(|_| Reason::Unreachable)?;
    socket::connected(&socket).await.map_err(|_| Reason::Unreachable)?;
    Ok(socket)
}

/// The first connection that is made.
///
/// # Errors
/// [`Reason::Unreachable`] when one of them was tried at all, otherwise why the supervisor refused them.
pub(super) async fn dial(
    link: &Link,
    destination: &Destination,
    addresses: &[IpAddr],
    port: u16,
) -> Result<(IpAddr, Socket), Reason> {
    match timeout(DIAL_LIMIT, first(link, destination, addresses, port)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Reason::Unreachable),
    }
}

async fn first(
    link: &Link,
    destination: &Destination,
    addresses: &[IpAddr],
    port: u16,
) -> Result<(IpAddr, Socket), Reason> {
    let mut waiting = in_turn(addresses).into_iter().take(MAX_ATTEMPTS).peekable();
    let mut attempts = Attempts::default();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.begin(link, destination, address, port);
        }
        // Until it is time for the next one: a failure makes it time.
        loop {
            let ended = attempts.ended.wait();
            if let Some((address, outcome)) = attempts.next() {
                match outcome {
                    Ok(socket) => return Ok((address, socket)),
                    Err(reason) => failure = Some(worse(failure, reason)),
                }
                break;
            }
            if waiting.peek().is_none() {
                if attempts.open.get() == 0 {
                    return Err(failure.unwrap_or(Reason::Unreachable));
                }
                ended.await;
            } else if let Either::Second(()) = race(ended, sleep(NEXT_ATTEMPT)).await {
                break;
            }
        }
    }
}

/// What is said of several failures: that the network failed is more than that one address was refused.
fn worse(before: Option<Reason>, reason: Reason) -> Reason {
    match before {
        Some(before) if !before.is_refusal() => before,
        Some(before) if reason.is_refusal() => before,
        _ => reason,
    }
}

/// The families in turn, IPv6 first, otherwise in the order that they came in.
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut v6 = addresses.iter().filter(|address| address.is_ipv6());
    let mut v4 = addresses.iter().filter(|address| address.is_ipv4());
    let mut out = Vec::with_capacity(addresses.len());
    loop {
        let before = out.len();
        out.extend(v6.next());
        out.extend(v4.next());
        if out.len() == before {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_ipv6_is_first() {
        let all: Vec<IpAddr> =
            ["1.1.1.1", "2.2.2.2", "3.3.3.3", "2001::1", "2001::2"].map(|text| text.parse().unwrap()).into();
        let turns: Vec<_> = in_turn(&all).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["2001::1", "1.1.1.1", "2001::2", "2.2.2.2", "3.3.3.3"]);
    }

    #[test]
    fn a_network_that_failed_is_said_before_an_address_that_was_refused() {
        assert_eq!(worse(None, Reason::OnLink), Reason::OnLink);
        assert_eq!(worse(Some(Reason::OnLink), Reason::Unreachable), Reason::Unreachable);
        assert_eq!(worse(Some(Reason::Unreachable), Reason::OnLink), Reason::Unreachable);
        assert_eq!(worse(Some(Reason::Internal), Reason::OnLink), Reason::Internal);
    }
}
