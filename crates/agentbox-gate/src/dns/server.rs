//! What a question is answered with.

use super::message::{Kind, Question, read_question};
use super::reply::{Outcome, answer, answer_unread};
use super::special::{self, Special};
use crate::link::Link;
use crate::names::{Class, Names, Place};
use crate::resolve::{Finding, Resolver};
use agentbox_plan::net::{Destination, HostName, Reason, Rules, Standing};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Most questions that wait for resolvers at once.
const WAITING: usize = 256;
/// Most names of which is remembered how they stand.
const STANDINGS: usize = 4096;
/// Most refused names that are reported in a [`WINDOW`]: names that are made up by the thousand would push
/// everything else out of the way to the supervisor.
const REPORTS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);
/// What names get that are nobody's outside, without a rule for them.
const OWN_NETWORK: Outcome = Outcome::NoName;

/// The session's rules, and where decisions are reported.
pub trait Session {
    /// The rules of now.
    fn rules(&self) -> Rc<Rules>;
    /// A name was asked for that may not be reached.
    fn refused(&self, name: HostName, reason: Reason, rule: Option<u32>);
}

impl Session for Link {
    fn rules(&self) -> Rc<Rules> {
        Self::rules(self)
    }

    fn refused(&self, name: HostName, reason: Reason, rule: Option<u32>) {
        self.decided(Destination::Name { name }, 0, Some(reason), rule, None);
    }
}

/// Answers the questions of a session.
pub struct Server {
    session: Rc<dyn Session>,
    names: Names,
    resolver: Resolver,
    ipv6: bool,
    /// How names stand with these rules.
    standings: RefCell<(Rc<Rules>, HashMap<HostName, Standing>)>,
    waiting: Cell<usize>,
    reports: Cell<(Instant, u32)>,
}

/// What comes next for a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The answer.
    Answer(Outcome),
    /// Whether the name is there has to be asked for.
    Ask(HostName),
}

/// A question that waits for resolvers.
pub(super) struct Wait {
    server: Rc<Server>,
    wanted: Kind,
    name: HostName,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.server.waiting.set(self.server.waiting.get() - 1);
    }
}

impl Wait {
    /// What there is to answer, once that is known.
    pub(super) async fn outcome(self) -> Outcome {
        let finding = self.server.resolver.find(&self.name).await;
        self.server.outcome_of(self.wanted, &self.name, &finding)
    }
}

/// What comes next for a message.
pub(super) enum Reply {
    /// The answer was written.
    Written,
    /// There is none.
    Silence,
    /// It is written when this has its outcome.
    Later(Box<Question>, Wait),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Server {
    /// One that gives names addresses of `names`, for a session with or without IPv6.
    #[must_use]
    pub fn new(session: Rc<dyn Session>, names: Names, resolver: Resolver, ipv6: bool) -> Rc<Self> {
        let standings = RefCell::new((session.rules(), HashMap::new()));
        let (waiting, reports) = (Cell::new(0), Cell::new((Instant::now(), 0)));
        Rc::new(Self { session, names, resolver, ipv6, standings, waiting, reports })
    }

    /// Answers a message into `out`, of at most as many bytes as `limit` says, or tells what to wait for.
    pub(super) fn reply(
        self: &Rc<Self>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        limit: impl Fn(&Question) -> usize,
    ) -> Reply {
        let question = match read_question(bytes) {
            Ok(question) => question,
            Err(unread) if answer_unread(out, unread) => return Reply::Written,
            Err(_) => return Reply::Silence,
        };
        let outcome = match self.step(&question) {
            Step::Answer(outcome) => outcome,
            Step::Ask(_) if self.waiting.get() >= WAITING => Outcome::Failed,
            Step::Ask(name) => {
                self.waiting.set(self.waiting.get() + 1);
                return Reply::Later(
                    Box::new(question),
                    Wait { server: Rc::clone(self), wanted: question.kind, name },
                );
            }
        };
        answer(out, &question, outcome, limit(&question));
        Reply::Written
    }

    /// Decides without waiting for anything.
    pub(super) fn step(&self, question: &Question) -> Step {
        let wanted = question.kind;
        let Some(name) = question.name().filter(|_| wanted != Kind::Other) else {
            return Step::Answer(Outcome::Refused);
        };
        let special = special::of(&name);
        let standing = match special {
            Special::Never => return Step::Answer(OWN_NETWORK),
            // Nothing is judged: no rule is about these.
            Special::Loopback | Special::Host => Standing::Public,
            Special::OwnNetwork | Special::Ordinary => self.standing(&name),
        };
        let has_rule = matches!(standing, Standing::Named { .. } | Standing::Matched { .. });
        if special == Special::OwnNetwork && !has_rule {
            return Step::Answer(OWN_NETWORK);
        }
        let is_address = match wanted {
            Kind::A => true,
            Kind::Aaaa => self.ipv6,
            Kind::Service | Kind::Other => false,
        };
        if !is_address {
            return Step::Answer(Outcome::NoData);
        }
        let outcome = match (special, standing) {
            (Special::Loopback, _) if wanted == Kind::A => Outcome::Address(Ipv4Addr::LOCALHOST.into()),
            (Special::Loopback, _) => Outcome::Address(Ipv6Addr::LOCALHOST.into()),
            (Special::Host, _) => synthetic(wanted, Some(Place::HOST)),
            (_, Standing::Refused { .. }) => synthetic(wanted, self.names.place_of(&name, Class::Refused)),
            // The rule says that it is there.
            (_, Standing::Named { .. }) => synthetic(wanted, self.names.place_of(&name, Class::Allowed)),
            (_, Standing::Matched { .. } | Standing::Public) => match self.resolver.known(&name) {
                Some(finding) => self.outcome_of(wanted, &name, &finding),
                None => return Step::Ask(name),
            },
        };
        Step::Answer(outcome)
    }

    /// What a name that was looked up is answered with. What it has only internal addresses for is answered
    /// like others: that is refused where it is connected to, and said.
    fn outcome_of(&self, wanted: Kind, name: &HostName, finding: &Finding) -> Outcome {
        match finding {
            Finding::Found(_) => synthetic(wanted, self.names.place_of(name, Class::Allowed)),
            Finding::NoData => Outcome::NoData,
            Finding::NotFound => Outcome::NoName,
            // It is refused like a name that no rule allows: where it is connected to, in words.
            Finding::Failed(reason @ (Reason::Budget | Reason::NameBudget)) => {
                if self.may_report() {
                    self.session.refused(name.clone(), *reason, None);
                }
                synthetic(wanted, self.names.place_of(name, Class::Refused))
            }
            Finding::Failed(_) => Outcome::Failed,
        }
    }

    /// How a name stands with the rules of now. Rules can be many, so it is remembered as long as they are
    /// the same.
    fn standing(&self, name: &HostName) -> Standing {
        if !agentbox_launch::in_force("gate-names") {
            return Standing::Public;
        }
        let rules = self.session.rules();
        let mut standings = self.standings.borrow_mut();
        let (of_rules, known) = &mut *standings;
        if !Rc::ptr_eq(of_rules, &rules) {
            known.clear();
            *of_rules = Rc::clone(&rules);
        }
        if let Some(standing) = known.get(name) {
            return *standing;
        }
        if known.len() >= STANDINGS {
            known.clear();
        }
        let standing = rules.standing(&Destination::Name { name: name.clone() });
        known.insert(name.clone(), standing);
        drop(standings);
        if let Standing::Refused { reason, rule } = standing
            && self.may_report()
        {
            self.session.refused(name.clone(), reason, rule);
        }
        standing
    }

    fn may_report(&self) -> bool {
        let (mut begun, mut count) = self.reports.get();
        let now = Instant::now();
        if now.duration_since(begun) >= WINDOW {
            (begun, count) = (now, 0);
        }
        let may = count < REPORTS;
        self.reports.set((begun, count + u32::from(may)));
        may
    }
}

fn synthetic(wanted: Kind, place: Option<Place>) -> Outcome {
    match place {
        Some(place) if wanted == Kind::Aaaa => Outcome::Address(place.v6().into()),
        Some(place) => Outcome::Address(place.v4().into()),
        None => Outcome::Failed,
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
