//! Where sockets to resolvers come from, and what questions cost.

use super::question::WireName;
use crate::budget::Budget;
use crate::link::Link;
use agentbox_plan::gate::{Sent, Transport};
use agentbox_plan::net::{Destination, HostName, Reason};
use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;

/// A socket that was asked for.
pub type Coming<'a> = Pin<Box<dyn Future<Output = Result<OwnedFd, Reason>> + 'a>>;

/// Gives sockets that are connected to resolvers.
pub trait Upstream {
    /// A fresh socket to the resolver of that number, for one question: each question has a source port of
    /// its own. [`Reason::Unresolved`] when there are fewer resolvers. A stream may still be connecting.
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_>;

    /// A question of so many bytes is about to be asked.
    ///
    /// # Errors
    /// Which limit it would exceed; then it is not asked.
    fn charge(&self, _name: &WireName, _bytes: usize) -> Result<(), Reason> {
        Ok(())
    }
}

impl Upstream for Link {
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_> {
        Box::pin(self.resolver(which, transport))
    }
}

/// One of questions that count as sent.
///
/// A name can carry data to who answers for it. It counts for the last two labels of it: names below these are made up
/// by the thousand, each with a budget of its own and a line for each of them.
pub struct Counted {
    upstream: Rc<dyn Upstream>,
    budget: Rc<RefCell<Budget>>,
    report: Box<dyn Fn(Sent)>,
}

impl Counted {
    /// Against this budget; what was sent is told to `report`.
    #[must_use]
    pub fn new(
        upstream: Rc<dyn Upstream>,
        budget: Rc<RefCell<Budget>>,
        report: impl Fn(Sent) + 'static,
    ) -> Self {
        Self { upstream, budget, report: Box::new(report) }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl Upstream for Counted {
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_> {
        self.upstream.socket(which, transport)
    }

    fn charge(&self, name: &WireName, bytes: usize) -> Result<(), Reason> {
        let (destination, bytes) = (domain_of(&name.to_string())?, bytes as u64);
        self.budget.borrow_mut().charge(&destination, bytes)?;
        (self.report)(Sent { destination, sent: bytes, received: 0 });
        Ok(())
    }
}

/// The last two labels of a name.
fn domain_of(name: &str) -> Result<Destination, Reason> {
    let name = name.trim_end_matches('.');
    let from = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    let name: HostName = name[from..].parse().map_err(|_| Reason::NotFound)?;
    Ok(Destination::Name { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_counts_for_the_last_two_labels_of_its_name() {
        for (name, domain) in
            [("a.b.example.org", "example.org"), ("example.org.", "example.org"), ("org", "org")]
        {
            assert_eq!(domain_of(name), Ok(Destination::Name { name: domain.parse().unwrap() }), "{name}");
        }
    }
}
