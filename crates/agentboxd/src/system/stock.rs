//! A scope that is made before a session is asked for.
//!
//! Making one waits for the kernel, longer than everything else of a start takes, and whoever starts or ends a session
//! meanwhile waits as well (decision 13). So some time after a start, when nobody else starts one, a scope is made for the
//! next session and named by the id that this will have. Until then a process that waits for its end holds it, as one
//! does during any start: it ends with its supervisor, and the service manager then removes the scope.

use super::scopes::{ScopeLimits, Scopes};
use crate::session::steps::{StepError, end_holder, missing};
use crate::start::new_id;
use crate::supervisor::Supervisor;
use agentbox_kernel::cgroup::{Hierarchy, SessionGroup};
use agentbox_kernel::launcher::{self, Holder};
use agentbox_plan::SessionId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Without a start for so long one is made.
const QUIET: Duration = Duration::from_millis(100);

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
    pub(crate) async fn discard(self, scopes: &Scopes, hierarchy: &Hierarchy) -> Result<(), StepError> {
        let id = self.group.id().clone();
        end_holder(self.holder).await?;
        scopes.stop(&id).await?;
        Ok(hierarchy.remove_rest(&id)?)
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    /// As soon as there was no start for a while; when the last one was.
    Making(Instant),
    Ready(Held),
    /// The supervisor ends.
    Closed,
}

/// At most one scope for the next session.
#[derive(Debug, Default)]
pub(crate) struct Stock(Mutex<State>);

impl Stock {
    /// The id of the session that it is for.
    pub(crate) fn id(&self) -> Option<SessionId> {
        match &*self.state() {
            State::Ready(held) => Some(held.group.id().clone()),
            _ => None,
        }
    }

    /// Takes it, for a session with these limits. The service manager cannot be told later how long a scope may run.
    pub(crate) fn take(&self, limits: ScopeLimits) -> Option<Held> {
        let mut state = self.state();
        if !matches!(&*state, State::Ready(_)) || limits.runtime_max.is_some() {
            return None;
        }
        match std::mem::take(&mut *state) {
            State::Ready(held) => Some(held),
            _ => None,
        }
    }

    /// There was a start. True for who is to make one now.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let is_empty = matches!(*state, State::Empty);
        if let State::Empty | State::Making(_) = *state {
            *state = State::Making(Instant::now());
        }
        is_empty
    }

    /// Waits until there was no start for a while.
    async fn quiet(&self) {
        loop {
            let State::Making(last) = *self.state() else { return };
            let until = last + QUIET;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// What was made, or nothing; gives back what there is no place for.
    fn put(&self, made: Option<Held>) -> Option<Held> {
        let mut state = self.state();
        match &*state {
            State::Making(_) => *state = made.map_or(State::Empty, State::Ready),
            _ => return made,
        }
        None
    }

    fn close(&self) -> Option<Held> {
        match std::mem::replace(&mut *self.state(), State::Closed) {
            State::Ready(held) => Some(held),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether there is one for the next session.
pub(crate) fn is_ready(supervisor: &Supervisor) -> bool {
    supervisor.scopes().and_then(Scopes::in_stock).is_some()
}

/// Makes one for the next session, beside everything else, where there is none.
pub(crate) fn fill(supervisor: &Arc<Supervisor>) {
    if !supervisor.scopes().is_some_and(|scopes| scopes.stock.begin()) {
        return;
    }
    let supervisor = Arc::clone(supervisor);
    tokio::spawn(async move {
        let Some(scopes) = supervisor.scopes() else { return };
        scopes.stock.quiet().await;
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
    tokio::spawn(async move { end(&supervisor, held).await });
}

/// There is none any more, and will be none.
pub(crate) async fn close(supervisor: &Supervisor) {
    if let Some(held) = supervisor.scopes().and_then(|scopes| scopes.stock.close()) {
        end(supervisor, held).await;
    }
}

async fn end(supervisor: &Supervisor, held: Held) {
    let (Some(scopes), Ok(hierarchy)) = (supervisor.scopes(), supervisor.hierarchy()) else { return };
    if let Err(error) = held.discard(scopes, hierarchy).await {
        tracing::warn!("a scope in stock: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_made_at_a_time_after_a_pause_and_none_when_the_supervisor_ends() {
        let stock = Stock::default();
        assert!(stock.begin() && !stock.begin());
        let begun = Instant::now();
        stock.quiet().await;
        assert!(begun.elapsed() >= QUIET);
        // It could not be made: the next start tries again.
        assert!(stock.put(None).is_none() && stock.begin());
        assert!(stock.id().is_none() && stock.take(ScopeLimits::default()).is_none());
        assert!(stock.close().is_none());
        assert!(!stock.begin() && stock.id().is_none());
        stock.quiet().await;
    }
}
