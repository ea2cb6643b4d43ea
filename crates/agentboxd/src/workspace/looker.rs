//! Runs lookers. None is waited for here: the file system that one looks at need not let it go, even when it is killed,
//! and taking down what watches a project waits for the kernel. A thread of its own waits for each, and a person has few.

use super::{Look, WorkspaceError, look_plan};
use crate::descriptor;
use crate::supervisor::Supervisor;
use agentbox_kernel::look;
use agentbox_plan::Wire;
use agentbox_plan::look::{LookPlan, Sighting, Task};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::OwnedSemaphorePermit;

/// What a looker may take beyond its own limit: to start, to hash, to write its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// What it takes to end for one that has answered.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Has a looker look, and waits for its answer.
pub(super) async fn look<T: Wire + Send + 'static>(
    supervisor: &Arc<Supervisor>,
    wanted: Look<'_>,
    task: Task,
) -> Result<T, WorkspaceError> {
    let limit = Duration::from_millis(wanted.limits.time_ms.into()) + PATIENCE;
    let gone = |error: &dyn std::error::Error| WorkspaceError::Gone(error.to_string());
    let uid = wanted.ids.uid;
    let place = supervisor.lookers.place_of(uid, limit).await.map_err(|error| gone(&error))?;
    let plan = look_plan(&wanted, task)?;
    let mut looker = Looker::start(supervisor, uid, &plan, wanted.places, Some(place))?;
    tokio::time::timeout(limit, looker.whole())
        .await
        .map_err(|_elapsed| WorkspaceError::TooLong(limit))??;
    let answer = tokio::task::spawn_blocking(move || looker.finish());
    let answer = tokio::time::timeout(END_LIMIT, answer).await;
    answer.map_err(|_elapsed| WorkspaceError::TooLong(END_LIMIT))?.map_err(|error| gone(&error))?
}

/// One that runs. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Looker {
    supervisor: Arc<Supervisor>,
    uid: u32,
    /// None once it is given away.
    looker: Option<look::Looker>,
    answer: AsyncFd<OwnedFd>,
    place: Option<OwnedSemaphorePermit>,
}

impl Looker {
    /// One that has this place among its person's; one that watches has none.
    pub(super) fn start(
        supervisor: &Arc<Supervisor>,
        uid: u32,
        plan: &LookPlan,
        places: &[OwnedFd],
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, WorkspaceError> {
        let looker = look::spawn(plan, places, &supervisor.launcher_environment())?;
        let answer = descriptor::watch(looker.answer.try_clone()?, Interest::READABLE)?;
        let supervisor = Arc::clone(supervisor);
        Ok(Self { supervisor, uid, looker: Some(looker), answer, place })
    }

    /// Waits until the answer is whole.
    async fn whole(&mut self) -> Result<(), WorkspaceError> {
        loop {
            let mut ready = self.answer.readable().await?;
            if Self::there(&mut self.looker)?.read()? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// The next thing that one says that watches.
    pub(super) async fn next(&mut self) -> Result<Sighting, WorkspaceError> {
        loop {
            if let Some(sighting) = Self::there(&mut self.looker)?.sighting()? {
                return Ok(sighting);
            }
            self.answer.readable().await?.clear_ready();
            // What came between the two looks is not lost: it is read before the next wait.
            if let Some(sighting) = Self::there(&mut self.looker)?.sighting()? {
                return Ok(sighting);
            }
        }
    }

    /// Its answer. Waits for its end.
    fn finish<T: Wire>(mut self) -> Result<T, WorkspaceError> {
        Ok(self.looker.take().ok_or_else(ended)?.finish()?)
    }

    fn there(looker: &mut Option<look::Looker>) -> Result<&mut look::Looker, WorkspaceError> {
        looker.as_mut().ok_or_else(ended)
    }
}

fn ended() -> WorkspaceError {
    WorkspaceError::Gone("the looker has ended".to_owned())
}

impl Drop for Looker {
    fn drop(&mut self) {
        let Some(looker) = self.looker.take() else { return };
        looker.kill();
        // One that watched had no place. Whoever has many that do not go gets no further ones.
        let place = self.place.take().or_else(|| self.supervisor.lookers.free_place_of(self.uid));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || {
                drop(looker);
                drop(place);
            });
        }
    }
}
