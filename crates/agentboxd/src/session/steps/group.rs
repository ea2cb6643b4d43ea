//! The step of a session's control group: one of our own, or a scope of the service manager that a process of ours
//! holds until the session is in it; its limits; its end.

use super::{GONE_LIMIT, StepError, Steps, Watched, missing};
use crate::descriptor::watch;
use crate::session::{Live, Order};
use crate::supervisor::Supervisor;
use crate::system::scopes::{ScopeLimits, Scopes};
use crate::system::stock::Held;
use agentbox_kernel::cgroup::{GroupLimits, Hierarchy, SessionGroup};
use agentbox_kernel::launcher::Holder;
use agentbox_plan::SessionId;
use std::io;
use std::sync::Arc;
use tokio::io::Interest;

impl Steps {
    pub(super) async fn make_group(&mut self, order: &Order, live: &mut Live) -> Result<(), StepError> {
        let supervisor = Arc::clone(&self.supervisor);
        let hierarchy = supervisor.hierarchy().map_err(StepError::Host)?;
        let group = match supervisor.scopes() {
            None => hierarchy.create(&self.record.id)?,
            Some(scopes) => self.make_scope(hierarchy, scopes, order.scope_limits()).await?,
        };
        let group = self.group.insert(group);
        let policy = &order.policy;
        let (memory, tasks) = (policy.memory_max(), policy.tasks_max());
        let (cpu, io) = (policy.cpu_weight(), policy.io_weight());
        let value = |limit: Option<agentbox_policy::Limit>| limit.map(|limit| limit.value);
        let limits = GroupLimits {
            memory_max: value(memory),
            tasks_max: value(tasks),
            cpu_weight: value(cpu),
            io_weight: value(io),
        };
        if limits == GroupLimits::default() {
            return Ok(());
        }
        let enforced = group.set_limits(limits)?;
        for (key, limit, enforced, controller) in [
            ("memory_max", memory, enforced.memory, "memory"),
            ("tasks_max", tasks, enforced.tasks, "pids"),
            ("cpu_weight", cpu, enforced.cpu, "cpu"),
            ("io_weight", io, enforced.io, "io"),
        ] {
            match limit {
                Some(limit) if !enforced && limit.configured => {
                    return Err(StepError::Host(format!(
                        "refused: `{key}` is configured and this host cannot enforce it\n\
                         rule: the control group hierarchy has no controller `{controller}`\n\
                         take `{key}` out of the configuration, or use a host with control groups version 2"
                    )));
                }
                Some(_) if !enforced => {
                    live.notes.push(format!("{key} is not enforced here: no controller `{controller}`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A scope of the service manager with a process of ours that holds it: the one in stock, or a new one.
    async fn make_scope(
        &mut self,
        hierarchy: &Hierarchy,
        scopes: &Scopes,
        limits: ScopeLimits,
    ) -> Result<SessionGroup, StepError> {
        let id = &self.record.id;
        match self.stocked.take() {
            Some(Held { holder, group }) => {
                self.holder = Some(holder);
                let (supervisor, id) = (Arc::clone(&self.supervisor), id.clone());
                // Waited for before anything runs: what the session may use is set by us, on the group below. But for its
                // weights, which are the scope's and are read back from there.
                self.assigning = Some(tokio::spawn(async move {
                    match supervisor.scopes() {
                        Some(scopes) => scopes.assign(&id, limits).await,
                        None => Ok(()),
                    }
                }));
                if limits.cpu_weight.is_some() || limits.io_weight.is_some() {
                    self.assigned().await?;
                }
                Ok(group)
            }
            None => {
                let Held { holder, group } = Held::make(scopes, hierarchy, id, Some(limits)).await?;
                self.holder = Some(holder);
                Ok(group)
            }
        }
    }

    /// Waits until the service manager knows whose the scope from stock is.
    pub(super) async fn assigned(&mut self) -> Result<(), StepError> {
        match self.assigning.take() {
            Some(assigning) => Ok(assigning.await.map_err(io::Error::from)??),
            None => Ok(()),
        }
    }

    /// The holder of the scope ends; the session's own processes are in it.
    pub(super) async fn let_go(&mut self) -> Result<(), StepError> {
        match self.holder.take() {
            Some(holder) => end_holder(holder).await,
            None => Ok(()),
        }
    }

    pub(super) async fn remove_group(&mut self) -> Result<(), StepError> {
        self.let_go().await?;
        if self.group.is_none() {
            let hierarchy = self.supervisor.hierarchy().map_err(StepError::Host)?;
            self.group = hierarchy.open_existing(&self.record.id)?;
        }
        if let Some(group) = &self.group {
            if group.is_populated()? {
                group.kill()?;
                tokio::time::timeout(GONE_LIMIT, until_empty(group))
                    .await
                    .map_err(|_elapsed| missing("an end of its processes"))??;
            }
            group.remove()?;
            self.group = None;
        }
        remove_rest(&self.supervisor, &self.record.id).await
    }
}

/// Ends the scope and removes what is left of the groups of a session that nobody is in any more.
pub(crate) async fn remove_rest(supervisor: &Supervisor, id: &SessionId) -> Result<(), StepError> {
    // The service manager sees by itself that nobody is in its scope, some time later; whoever asked for the end waits
    // for that.
    if let Some(scopes) = supervisor.scopes() {
        scopes.stop(id).await?;
    }
    // `create` may have made half of it; the manager tries to remove its group once.
    let hierarchy = supervisor.hierarchy().map_err(StepError::Host)?;
    Ok(hierarchy.remove_rest(id)?)
}

/// Has the holder of a scope end, and waits for that.
pub(crate) async fn end_holder(holder: Holder) -> Result<(), StepError> {
    let holder = Watched::new(holder.let_go())?;
    tokio::time::timeout(GONE_LIMIT, holder.ended())
        .await
        .map_err(|_elapsed| missing("an end of the scope's holder"))??;
    holder.launcher.try_wait()?;
    Ok(())
}

/// cgroups(7): cgroup.events gives POLLPRI when `populated` changes.
async fn until_empty(group: &SessionGroup) -> Result<(), StepError> {
    let events = match group.events() {
        Ok(events) => watch(events, Interest::PRIORITY)?,
        // Removed meanwhile by the service manager.
        Err(_) if !group.is_populated()? => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    while group.is_populated()? {
        events.ready(Interest::PRIORITY).await?.clear_ready();
    }
    Ok(())
}
