//! All connections that are there: counted, reported, and cut when they are no longer allowed.

use super::claim::{Claim, Expected, Refusal};
use super::pump::Meter;
use crate::budget::Budget;
use crate::link::Link;
use crate::runtime::{Event, sleep, spawn};
use agentbox_plan::gate::Sent;
use agentbox_plan::net::{Decision, Destination, Reason, Rules, Translators};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How often what moves is reported.
const REPORT: Duration = Duration::from_secs(1);
/// Before that, such a part of what a budget has left is.
const REPORTED_PART: u64 = 16;
/// But no fewer bytes.
const REPORTED_BYTES: u64 = 64 << 10;

#[derive(Debug)]
struct Shared {
    link: Link,
    budget: Rc<RefCell<Budget>>,
    /// Bytes from the session that were not reported so far.
    unreported: Cell<u64>,
    flows: RefCell<BTreeMap<u64, Weak<Flow>>>,
    next: Cell<u64>,
    /// Something moved since the last report.
    moved: Event,
}

/// The connections of a session.
#[derive(Debug, Clone)]
pub(crate) struct Flows(Rc<Shared>);

/// A connection that is relayed, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Flow {
    flows: Flows,
    number: u64,
    destination: Destination,
    port: u16,
    /// Where it goes.
    address: IpAddr,
    /// What its client named.
    claim: RefCell<Claim>,
    /// Not reported so far.
    sent: Cell<u64>,
    received: Cell<u64>,
    received_in_all: Cell<u64>,
    refusal: RefCell<Option<Refusal>>,
    cut: Event,
}

impl Flows {
    pub(crate) fn new(link: Link, budget: Rc<RefCell<Budget>>) -> Self {
        let shared = Shared {
            link,
            budget,
            unreported: Cell::new(0),
            flows: RefCell::default(),
            next: Cell::new(0),
            moved: Event::new(),
        };
        let flows = Self(Rc::new(shared));
        let own = flows.clone();
        spawn(async move {
            loop {
                // Asked for before the rules are looked at: none that come meanwhile are missed.
                let changed = own.0.link.rules_changed();
                own.cut_what_is_not_allowed(&own.0.link.rules());
                changed.await;
            }
        });
        let own = flows.clone();
        spawn(async move {
            loop {
                own.0.moved.wait().await;
                sleep(REPORT).await;
                own.report();
            }
        });
        flows
    }

    /// How much may be sent to a destination.
    pub(crate) fn left(&self, destination: &Destination) -> Result<u64, Reason> {
        self.0.budget.borrow().left(destination)
    }

    pub(crate) fn begin(&self, expected: &Expected, address: IpAddr, claim: Claim) -> Rc<Flow> {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        let flow = Rc::new(Flow {
            flows: self.clone(),
            number,
            destination: expected.destination.clone(),
            port: expected.port,
            address,
            claim: RefCell::new(claim),
            sent: Cell::new(0),
            received: Cell::new(0),
            received_in_all: Cell::new(0),
            refusal: RefCell::default(),
            cut: Event::new(),
        });
        self.0.flows.borrow_mut().insert(number, Rc::downgrade(&flow));
        flow
    }

    fn report(&self) {
        self.0.unreported.set(0);
        self.each(Flow::report);
    }

    fn each(&self, action: impl Fn(&Flow)) {
        let flows: Vec<_> = self.0.flows.borrow().values().filter_map(Weak::upgrade).collect();
        flows.iter().for_each(|flow| action(flow));
    }

    fn cut_what_is_not_allowed(&self, rules: &Rc<Rules>) {
        self.each(|flow| {
            if let Err(refusal) = flow.judge(rules) {
                flow.refusal.replace(Some(refusal));
                flow.cut.notify();
            }
        });
    }
}

impl Flow {
    /// Whether the rules allow it.
    pub(crate) fn judge(&self, rules: &Rc<Rules>) -> Result<(), Refusal> {
        let translators = self.flows.0.link.translators();
        judge_address(rules, &self.destination, self.port, self.address, &translators)?;
        let expected =
            Expected { destination: self.destination.clone(), port: self.port, rules: Rc::clone(rules) };
        match (&*self.claim.borrow(), &self.destination) {
            // Only at an address rules decide about what is named.
            (claim @ Claim::Name(_), Destination::Address { .. }) => expected.judge(claim),
            _ => Ok(()),
        }
    }

    /// The client has named something.
    pub(crate) fn claims(&self, claim: Claim) {
        self.claim.replace(claim);
    }

    /// Waits until the rules no longer allow it.
    pub(crate) async fn was_cut(&self) -> Refusal {
        loop {
            let cut = self.cut.wait();
            if let Some(refusal) = self.refusal.take() {
                return refusal;
            }
            cut.await;
        }
    }

    /// Counts bytes from the session, if it may send them.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), Reason> {
        let bytes = bytes as u64;
        self.flows.0.budget.borrow_mut().charge(&self.destination, bytes)?;
        self.sent_more(bytes);
        Ok(())
    }

    fn count_sent(&self, bytes: u64) {
        self.flows.0.budget.borrow_mut().spend(&self.destination, bytes);
        self.sent_more(bytes);
    }

    /// Has it reported: at once where it is much of what is left, which a gate that is killed would forget.
    fn sent_more(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
        let unreported = &self.flows.0.unreported;
        unreported.set(unreported.get() + bytes);
        let is_much = || unreported.get() >= self.flows.left(&self.destination).unwrap_or(0) / REPORTED_PART;
        if unreported.get() >= REPORTED_BYTES && is_much() {
            self.flows.report();
        }
        self.flows.0.moved.notify();
    }

    fn count_received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
        self.received_in_all.set(self.received_in_all.get() + bytes);
        self.flows.0.moved.notify();
    }

    /// Counts bytes to the session.
    pub(crate) fn receive(&self, bytes: usize) {
        self.count_received(bytes as u64);
    }

    /// Bytes to the session so far.
    pub(crate) fn received(&self) -> u64 {
        self.received_in_all.get()
    }

    fn report(&self) {
        let (sent, received) = (self.sent.take(), self.received.take());
        if sent > 0 || received > 0 {
            let sent = Sent { destination: self.destination.clone(), sent, received };
            self.flows.0.link.used(sent);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.flows.0.flows.borrow_mut().remove(&self.number);
        self.report();
    }
}

/// Bytes from the session.
pub(crate) struct Up<'a>(pub(crate) &'a Flow);

/// Bytes to the session.
pub(crate) struct Down<'a>(pub(crate) &'a Flow);

impl Meter for Up<'_> {
    fn left(&self) -> Result<u64, Reason> {
        self.0.flows.left(&self.0.destination)
    }
    fn count(&self, bytes: u64) {
        self.0.count_sent(bytes);
    }
}

impl Meter for Down<'_> {
    fn left(&self) -> Result<u64, Reason> {
        Ok(u64::MAX)
    }
    fn count(&self, bytes: u64) {
        self.0.count_received(bytes);
    }
}

/// What the rules say of an address of a destination.
pub(crate) fn judge_address(
    rules: &Rules,
    destination: &Destination,
    port: u16,
    address: IpAddr,
    translators: &Translators,
) -> Result<Option<u32>, Refusal> {
    match rules.judge_address(destination, port, address, translators) {
        Decision::Allowed { rule } => Ok(rule),
        Decision::Denied { rule, .. } if !agentbox_launch::in_force("gate-rules") => Ok(rule),
        Decision::Denied { reason, rule } => Err(Refusal { reason, rule, other: None }),
    }
}
