//! By which prefixes the network leads from IPv6 to IPv4: a resolver that makes addresses for that makes those of a
//! name that has none (RFC 7050).
//!
//! The resolvers of names are all asked, each by itself, and what any of them says is kept: one that lies makes more
//! internal. An address of IPv6 waits for their answers, and a network that may have changed is asked anew.

use super::lookup::{Asking, TRY};
use super::places::Places;
use super::upstream::Upstream;
use crate::link::Link;
use crate::runtime::{Either, Event, race, sleep, spawn};
use agentbox_plan::net::{Reason, Translator};
use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The resolvers that are asked: those that names are asked of.
const RESOLVERS: [u8; 2] = [0, 1];
/// For how long their answers are believed. Behind a resolver of the machine's own the network may become another one
/// without anybody here hearing of it.
const BELIEVED: Duration = Duration::from_secs(10);
/// Time between questions that nobody waits for: routes change often where containers come and go.
const PAUSE: Duration = Duration::from_millis(500);
/// Time in which changes come one after the other.
const BURST: Duration = Duration::from_millis(50);

/// Knows the translators of the network; cheap to clone.
#[derive(Clone)]
pub struct Translation(Rc<Shared>);

struct Shared {
    asking: Asking,
    link: Link,
    /// Of which network answers came, and until when they are believed.
    believed: Cell<Option<(u64, Instant)>>,
    /// Why nobody could be asked the last time.
    failure: Cell<Option<Reason>>,
    is_asking: Cell<bool>,
    ended: Event,
}

impl fmt::Debug for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translation").field("believed", &self.0.believed).finish_non_exhaustive()
    }
}

impl Translation {
    /// Asks through these sockets, at once in every network, and tells `link`.
    #[must_use]
    pub fn new(upstream: Rc<dyn Upstream>, link: Link) -> Self {
        let own = Self(Rc::new(Shared {
            // Questions of the session do not take its places.
            asking: Asking { upstream, places: Places::new(RESOLVERS.len()) },
            link,
            believed: Cell::default(),
            failure: Cell::default(),
            is_asking: Cell::default(),
            ended: Event::new(),
        }));
        let translation = own.clone();
        spawn(async move {
            loop {
                let other = translation.0.link.other_network();
                if translation.0.link.network() > 0 {
                    let _ = translation.settled().await;
                    sleep(PAUSE).await;
                }
                other.await;
            }
        });
        own
    }

    /// Waits until it is known what may be behind an address of IPv6. Resolvers without an answer are not waited for.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub async fn settled(&self) -> Result<(), Reason> {
        while !self.is_believed() {
            let ended = self.0.ended.wait();
            self.begin();
            ended.await;
            if let Some(reason) = self.0.failure.get() {
                return Err(reason);
            }
            if !self.is_believed() {
                sleep(BURST).await;
            }
        }
        Ok(())
    }

    /// Asks, when it is time for that, and does not wait for it.
    pub fn begin(&self) {
        if self.is_believed() || self.0.is_asking.replace(true) {
            return;
        }
        let own = self.clone();
        spawn(async move {
            let network = own.0.link.network();
            let failure = own.ask().await;
            own.0.failure.set(failure);
            own.0.believed.set(failure.is_none().then(|| (network, Instant::now() + BELIEVED)));
            own.0.is_asking.set(false);
            own.0.ended.notify();
        });
    }

    fn is_believed(&self) -> bool {
        let network = self.0.link.network();
        self.0.believed.get().is_some_and(|(of, until)| of == network && Instant::now() < until)
    }

    /// Asks all of them; says why somebody could not be asked.
    async fn ask(&self) -> Option<Reason> {
        let end = Instant::now() + TRY;
        let [mut one, mut other] = RESOLVERS.map(|which| Box::pin(self.0.asking.made_up(which, end)));
        let answers = match race(one.as_mut(), other.as_mut()).await {
            Either::First(first) => [first, other.await],
            Either::Second(first) => [first, one.await],
        };
        let mut failure = None;
        for answer in answers {
            match answer {
                Ok(addresses) => {
                    let shown = addresses.into_iter().filter_map(|address| match address {
                        IpAddr::V6(address) => Some(Translator::shown_by(address)),
                        IpAddr::V4(_) => None,
                    });
                    self.0.link.translates(shown.flatten());
                }
                Err(reason @ (Reason::TooMany | Reason::SupervisorAway)) => failure = Some(reason),
                // There are fewer resolvers, or one that has no answer: then it makes no addresses either.
                Err(_) => {}
            }
        }
        failure
    }
}

#[cfg(test)]
#[path = "translation_tests.rs"]
mod tests;
