//! Asks upstream resolvers for the addresses of names.
//!
//! Nothing here judges: a name is asked for because somebody else found it allowed, and internal addresses
//! are found like others, and refused where they are connected to.
//!
//! | file | responsible for |
//! |---|---|
//! | `question` | writing a question |
//! | `answer` | reading an answer |
//! | `upstream` | [`Upstream`], where sockets to resolvers come from |
//! | `exchange` | one question to one resolver |
//! | `lookup` | all questions about one name |
//! | `finding` | [`Finding`], and for how long it is believed |
//! | `translation` | [`Translation`], by which prefixes the network leads from IPv6 to IPv4 |
//! | `places` | how many questions wait for answers at once |

mod answer;
mod exchange;
mod finding;
#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
pub(crate) mod lab;
mod lookup;
mod places;
mod question;
#[cfg(test)]
mod tests;
mod translation;
mod upstream;

pub use answer::{AnswerError, Reply, read_answer};
pub use finding::Finding;
pub use question::{Asked, Family, WireName, wire_name};
pub use translation::Translation;
pub use upstream::{Coming, Counted, Upstream};

use crate::runtime::{Event, spawn};
use agentbox_plan::net::{HostName, Reason};
use finding::Findings;
use lookup::Asking;
use places::Places;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Most questions that wait for an answer at once, each with a socket.
const QUESTIONS: usize = 64;
/// Most names that are being looked up at once; their questions wait for each other.
const NAMES: usize = 256;
/// Most names of which something is remembered.
const FINDINGS: usize = 1024;

/// Finds addresses; cheap to clone.
#[derive(Clone)]
pub struct Resolver(Rc<Shared>);

struct Shared {
    asking: Asking,
    findings: RefCell<Findings>,
    running: RefCell<HashMap<HostName, Rc<Running>>>,
}

/// A name that is being looked up; who else asks for it waits for the same.
#[derive(Default)]
struct Running {
    finding: RefCell<Option<Finding>>,
    ended: Event,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("running", &self.0.running.borrow().len()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// One that asks through these sockets.
    #[must_use]
    pub fn new(upstream: Rc<dyn Upstream>) -> Self {
        Self(Rc::new(Shared {
            asking: Asking { upstream, places: Places::new(QUESTIONS) },
            findings: RefCell::new(Findings::new(FINDINGS)),
            running: RefCell::default(),
        }))
    }

    /// What is believed about a name now, without asking.
    #[must_use]
    pub fn known(&self, name: &HostName) -> Option<Finding> {
        self.0.findings.borrow().get(name, Instant::now()).cloned()
    }

    /// What there is about a name. Takes some five seconds at most.
    pub async fn find(&self, name: &HostName) -> Finding {
        if let Some(finding) = self.known(name) {
            return finding;
        }
        let Some(running) = self.start(name) else { return Finding::Failed(Reason::TooMany) };
        let ended = running.ended.wait();
        if running.finding.borrow().is_none() {
            ended.await;
        }
        let finding = running.finding.borrow().clone();
        finding.unwrap_or(Finding::Failed(Reason::Unresolved))
    }

    /// The addresses of a name, at least one, IPv6 first.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there are none, [`Reason::Unresolved`] when nobody answers, and why there is
    /// no socket to ask by.
    pub async fn addresses(&self, name: &HostName) -> Result<Rc<[IpAddr]>, Reason> {
        match self.find(name).await {
            Finding::Found(addresses) => Ok(addresses),
            Finding::NoData | Finding::NotFound => Err(Reason::NotFound),
            Finding::Failed(reason) => Err(reason),
        }
    }

    /// Looks a name up, once however many ask for it. The work goes on when they do not wait for it.
    fn start(&self, name: &HostName) -> Option<Rc<Running>> {
        let mut all = self.0.running.borrow_mut();
        if let Some(running) = all.get(name) {
            return Some(Rc::clone(running));
        }
        if all.len() >= NAMES {
            return None;
        }
        let running = Rc::new(Running::default());
        all.insert(name.clone(), Rc::clone(&running));
        drop(all);
        let (own, name, place) = (self.clone(), name.clone(), Rc::clone(&running));
        spawn(async move {
            let (finding, time) = own.0.asking.find(&name).await;
            own.0.running.borrow_mut().remove(&name);
            if time > Duration::ZERO {
                own.0.findings.borrow_mut().keep(name, finding.clone(), Instant::now() + time);
            }
            place.finding.replace(Some(finding));
            place.ended.notify();
        });
        Some(running)
    }
}
