//! A scope that is made before a session is asked for.
//!
//! Making one waits for the kernel, longer than everything else of a start takes, and whoever starts or ends a session
//! meanwhile waits as well (decision 13). So some time after a start, when nobody else starts one, a scope is made for the
//! next session and named by the id that this will have. Until then a process that waits for its end holds it, as one
//! does during any start: it ends with its supervisor, and the service manager then removes the scope.

use super::scopes::{ScopeLimits, Scopes};
use crate::session::steps::{StepError, end_holder, missing, remove_rest};
use crate::start::new_id;
use crate::supervisor::Supervisor;
use agentbox_kernel::cgroup::{Hierarchy, SessionGroup};
use agentbox_kernel::launcher::{self, Holder};
use agentbox_plan::SessionId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Without a start for so long one is made: what starts and ends at once has ended by then.
const QUIET: Duration = Duration::from_millis(10);

/// A scope that nothing runs in but who holds it.
#[derive(Debug)]
pub(crate) struct Held {
    /// The process.
    pub(crate) holder: Holder,
    /// Its groups.
    pub(crate) group: SessionGroup,
}

impl Held {
    /// Makes one.
    pub(crate) async fn make(
        scopes: &Scopes,
        hierarchy: &Hierarchy,
        id: &SessionId,
        limits: Option<ScopeLimits>,
    ) -> Result<Self, StepError> {
        let holder = launcher::hold(&launcher::find_program()?)?;
        match Self::around(&holder, scopes, hierarchy, id, limits).await {
            Ok(group) => Ok(Self { holder, group }),
            Err(error) => {
                end_holder(holder).await?;
                Err(error)
            }
        }
    }

    async fn around(
        holder: &Holder,
        scopes: &Scopes,
        hierarchy: &Hierarchy,
        id: &SessionId,
        limits: Option<ScopeLimits>,
    ) -> Result<SessionGroup, StepError> {
        scopes.start(id, holder.launcher.pid, &holder.launcher.pidfd, limits).await?;
        let made = hierarchy.begin_scope(id)?.ok_or_else(|| missing("a scope"))?;
        // The manager has said so; the kernel says it too.
        if !made.take_in(holder.launcher.pid)? {
            return Err(missing("a process in the scope"));
        }
        Ok(made)
    }

    /// Whether it is as it was made: anybody who may can end a scope.
    fn is_whole(&self) -> bool {
        matches!(self.holder.launcher.try_wait(), Ok(None))
            && self.group.supervise_pids().is_ok_and(|pids| pids == [self.holder.launcher.pid])
            && self.group.payload_pids().is_ok_and(|pids| pids.is_empty())
    }

    /// Ends it.
    async fn end(self, supervisor: &Supervisor) {
        let ended = match end_holder(self.holder).await {
            Ok(()) => remove_rest(supervisor, self.group.id()).await,
            failed => failed,
        };
        if let Err(error) = ended {
            tracing::warn!("a scope in stock: {error}");
        }
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    /// One is made as soon as there was no start for a while; when the last one was.
    Due(Instant),
    Making,
    Ready(Held),
    /// The supervisor ends.
    Closed,
}

impl State {
    fn held(self) -> Option<Held> {
        match self {
            Self::Ready(held) => Some(held),
            _ => None,
        }
    }
}

/// At most one scope for the next session.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    state: Mutex<State>,
    /// Told when one was made, or could not be.
    made: Notify,
}

impl Stock {
    /// The id of the session that it is for.
    fn id(&self) -> Option<SessionId> {
        match &*self.state() {
            State::Ready(held) => Some(held.group.id().clone()),
            _ => None,
        }
    }

    /// Takes it, for a session with these limits. The service manager cannot be told later how long a scope may run.
    fn take(&self, limits: ScopeLimits) -> Option<Held> {
        let mut state = self.state();
        match *state {
            State::Ready(_) if limits.runtime_max.is_none() => std::mem::take(&mut *state).held(),
            _ => None,
        }
    }

    /// There was a start. True for who is to make one now.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let is_empty = matches!(*state, State::Empty);
        if let State::Empty | State::Due(_) = *state {
            *state = State::Due(Instant::now());
        }
        is_empty
    }

    /// Waits until there was no start for a while; false when none is to be made any more.
    async fn quiet(&self) -> bool {
        loop {
            let until = {
                let mut state = self.state();
                let State::Due(last) = *state else { return false };
                if last.elapsed() >= QUIET {
                    *state = State::Making;
                    return true;
                }
                last + QUIET
            };
            tokio::time::sleep_until(until).await;
        }
    }

    /// Waits for one that is being made.
    async fn settled(&self) {
        loop {
            let mut made = std::pin::pin!(self.made.notified());
            // From here on it is told also when that is before it waits.
            made.as_mut().enable();
            if !matches!(*self.state(), State::Making) {
                return;
            }
            made.await;
        }
    }

    /// What was made, or nothing; gives back what there is no place for.
    fn put(&self, made: Option<Held>) -> Option<Held> {
        let mut state = self.state();
        if !matches!(*state, State::Making) {
            return made;
        }
        *state = made.map_or(State::Empty, State::Ready);
        self.made.notify_waiters();
        None
    }

    fn close(&self) -> Option<Held> {
        let was = std::mem::replace(&mut *self.state(), State::Closed);
        self.made.notify_waiters();
        was.held()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of the session that the scope in stock is for.
pub(crate) fn id(supervisor: &Supervisor) -> Option<SessionId> {
    supervisor.scopes()?.stock.id()
}

/// Waits for what is being made: a scope that somebody else makes meanwhile would be there later.
pub(crate) async fn settled(supervisor: &Supervisor) {
    if let Some(scopes) = supervisor.scopes() {
        scopes.stock.settled().await;
    }
}

/// Takes what is in stock, if it is whole.
pub(crate) fn take(supervisor: &Arc<Supervisor>, limits: ScopeLimits) -> Option<Held> {
    let held = supervisor.scopes()?.stock.take(limits)?;
    if held.is_whole() {
        return Some(held);
    }
    discard(supervisor, held);
    None
}

/// Whether there is one for the next session, or will be at once.
pub(crate) fn is_coming(supervisor: &Supervisor) -> bool {
    let state = supervisor.scopes().map(|scopes| scopes.stock.state());
    state.is_some_and(|state| matches!(*state, State::Making | State::Ready(_)))
}

/// Makes one for the next session, beside everything else, where there is none.
pub(crate) fn fill(supervisor: &Arc<Supervisor>) {
    if !supervisor.scopes().is_some_and(|scopes| scopes.stock.begin()) {
        return;
    }
    let supervisor = Arc::clone(supervisor);
    tokio::spawn(async move {
        let Some(scopes) = supervisor.scopes() else { return };
        if !scopes.stock.quiet().await {
            return;
        }
        let made = make(&supervisor, scopes).await;
        if let Err(error) = &made {
            // The next session makes its own, and is told.
            tracing::warn!("no scope in stock: {error}");
        }
        if let Some(held) = scopes.stock.put(made.ok()) {
            discard(&supervisor, held);
        }
    });
}

async fn make(supervisor: &Supervisor, scopes: &Scopes) -> Result<Held, StepError> {
    let hierarchy = supervisor.hierarchy().map_err(StepError::Host)?;
    let id = new_id(supervisor).map_err(|error| StepError::Host(error.message()))?;
    Held::make(scopes, hierarchy, &id, None).await
}

/// Ends one that no session runs in, beside everything else.
pub(crate) fn discard(supervisor: &Arc<Supervisor>, held: Held) {
    let supervisor = Arc::clone(supervisor);
    tokio::spawn(async move { held.end(&supervisor).await });
}

/// There is none any more, and will be none.
pub(crate) async fn close(supervisor: &Supervisor) {
    if let Some(held) = supervisor.scopes().and_then(|scopes| scopes.stock.close()) {
        held.end(supervisor).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_made_at_a_time_after_a_pause_and_none_when_the_supervisor_ends() {
        let stock = Stock::default();
        assert!(stock.begin() && !stock.begin());
        // Nobody waits for one that is not being made yet.
        stock.settled().await;
        let begun = Instant::now();
        assert!(stock.quiet().await && begun.elapsed() >= QUIET);
        assert!(!stock.begin());
        // It cannot be made: who waits is told, and the next start tries again.
        let told = async {
            stock.settled().await;
            stock.id().is_none() && stock.take(ScopeLimits::default()).is_none()
        };
        let (told, put) = tokio::join!(told, async { stock.put(None) });
        assert!(told && put.is_none() && stock.begin());
        assert!(stock.close().is_none());
        assert!(!stock.begin() && !stock.quiet().await);
        stock.settled().await;
    }
}
