//! Scopes of the service manager: a session's processes as one unit, with limits that outlive the supervisor.
//!
//! A scope needs a process to begin with. That is a launcher which is never released: it waits on a pipe of
//! this supervisor and does nothing else. Once the scope is there and the process is seen in it, the session's
//! own processes are started right into it, and the holder ends.
//!
//! Jobs are told apart by the name of their unit, since one unit has one job of ours at a time: who waits is
//! noted before the job is asked for, so the signal cannot come too early.

use super::stock::Stock;
use agentbox_kernel::cgroup::scope_name;
use agentbox_plan::SessionId;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use zbus::Connection;
use zbus::{Fd, OwnedObjectPath, Variant};

/// A scope is made in 2 ms; this is for a manager that is busy with a boot.
const JOB_LIMIT: Duration = Duration::from_secs(20);
/// First version of systemd with `PIDFDs` of transient units.
const PIDFDS: u32 = 255;
/// Between the signal of `systemctl stop` and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What the launcher and the gate may use beside the session: tasks and bytes.
const OWN_TASKS: u64 = 64;
const OWN_MEMORY: u64 = 256 << 20;
/// The supervisor ends a session whose time is over by itself; the manager does when there is none.
const RUNTIME_SLACK: Duration = Duration::from_secs(60);
/// What a scope is called that is for the next session.
const IN_STOCK: &str = "Held for the next session of an agent";

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Systemd {
    fn subscribe(&self) -> zbus::Result<()>;
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Variant<'_>)],
        auxiliary: &[(&str, Vec<(&str, Variant<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;
    fn set_unit_properties(
        &self,
        name: &str,
        runtime: bool,
        properties: &[(&str, Variant<'_>)],
    ) -> zbus::Result<()>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
}

/// Why a scope was not made or not ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScopeError {
    /// The manager refused.
    #[error("the service manager: {0}")]
    Manager(#[from] zbus::Error),
    /// The job did not come out well.
    #[error("the service manager's job for {unit} ended with `{result}`")]
    Job {
        /// Of which unit.
        unit: String,
        /// In the manager's word.
        result: String,
    },
    /// No answer.
    #[error("the service manager did not finish its job for {0}")]
    Late(String),
}

/// Limits of a scope.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScopeLimits {
    /// Bytes of memory.
    pub(crate) memory_max: Option<u64>,
    /// Processes and threads.
    pub(crate) tasks_max: Option<u64>,
    /// Share of the processor against others, 1 to 10000.
    pub(crate) cpu_weight: Option<u64>,
    /// The same of disks.
    pub(crate) io_weight: Option<u64>,
    /// How long it may run.
    pub(crate) runtime_max: Option<Duration>,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<String>>>>;

/// The service manager.
#[derive(Debug)]
pub(crate) struct Scopes {
    /// The next session's.
    pub(super) stock: Stock,
    systemd: SystemdProxy<'static>,
    version: u32,
    waiting: Waiting,
}

impl Scopes {
    /// Begins to listen to what becomes of jobs.
    pub(crate) async fn new(connection: &Connection) -> zbus::Result<Self> {
        use futures_util::StreamExt;
        let systemd = SystemdProxy::builder(connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        let version = number(&systemd.version().await?);
        let mut removed = systemd.receive_job_removed().await?;
        systemd.subscribe().await?;
        let waiting: Waiting = Arc::default();
        let told = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(signal) = removed.next().await {
                let Ok(job) = signal.args() else { continue };
                let waiter = told.lock().unwrap_or_else(PoisonError::into_inner).remove(job.unit());
                if let Some(waiter) = waiter {
                    let _gone = waiter.send(job.result().clone());
                }
            }
        });
        Ok(Self { stock: Stock::default(), systemd, version, waiting })
    }

    /// Makes a scope around a process, and waits until it is there: that of a session with these limits, or of one
    /// that nobody has asked for yet.
    pub(crate) async fn start(
        &self,
        id: &SessionId,
        pid: u32,
        pidfd: &OwnedFd,
        limits: Option<ScopeLimits>,
    ) -> Result<(), ScopeError> {
        let unit = scope_name(id);
        let mut properties: Vec<(&str, Variant<'_>)> = vec![
            ("Slice", Variant::from("agentbox.slice")),
            // Sessions are told to end before their supervisor is.
            ("After", Variant::from(vec!["agentboxd.service"])),
            ("Delegate", Variant::from(true)),
            ("CollectMode", Variant::from("inactive-or-failed")),
            // The kernel ends all of the agent's (`memory.oom.group`), and what is left says so and ends by itself: a manager
            // that killed the rest at once would take the word from it.
            ("OOMPolicy", Variant::from("continue")),
            ("TimeoutStopUSec", Variant::from(micros(STOP_TIMEOUT))),
            // The number of a child that was not waited for belongs to nobody else.
            if self.version >= PIDFDS {
                ("PIDFDs", Variant::from(vec![Fd::from(pidfd.as_fd())]))
            } else {
                ("PIDs", Variant::from(vec![pid]))
            },
        ];
        match limits {
            Some(limits) => properties.extend(of_session(id, limits)),
            None => properties.push(("Description", Variant::from(IN_STOCK))),
        }
        if let Some(time) = limits.and_then(|limits| limits.runtime_max) {
            properties.push(("RuntimeMaxUSec", Variant::from(micros(time.saturating_add(RUNTIME_SLACK)))));
        }
        self.job(&unit, self.systemd.start_transient_unit(&unit, "fail", &properties, &[])).await
    }

    /// The scope in stock is that of a session with these limits now.
    pub(crate) async fn assign(&self, id: &SessionId, limits: ScopeLimits) -> Result<(), ScopeError> {
        let (unit, properties) = (scope_name(id), of_session(id, limits));
        let set = self.systemd.set_unit_properties(&unit, true, &properties);
        match tokio::time::timeout(JOB_LIMIT, set).await {
            Ok(set) => Ok(set?),
            Err(_elapsed) => Err(ScopeError::Late(unit)),
        }
    }

    /// Ends a scope, and waits until it is gone. One that is not there is fine.
    pub(crate) async fn stop(&self, id: &SessionId) -> Result<(), ScopeError> {
        let unit = scope_name(id);
        match self.job(&unit, self.systemd.stop_unit(&unit, "replace")).await {
            Err(ScopeError::Manager(zbus::Error::MethodError(name, _, _)))
                if name.as_str() == "org.freedesktop.systemd1.NoSuchUnit" =>
            {
                Ok(())
            }
            other => other,
        }
    }

    async fn job(
        &self,
        unit: &str,
        call: impl Future<Output = zbus::Result<OwnedObjectPath>>,
    ) -> Result<(), ScopeError> {
        let (tell, told) = oneshot::channel();
        self.waiting().insert(unit.to_owned(), tell);
        let finished = async {
            call.await?;
            told.await.map_err(|_gone| ScopeError::Late(unit.to_owned()))
        };
        let result = tokio::time::timeout(JOB_LIMIT, finished).await;
        self.waiting().remove(unit);
        match result {
            Err(_elapsed) => Err(ScopeError::Late(unit.to_owned())),
            Ok(Err(error)) => Err(error),
            Ok(Ok(result)) if result == "done" => Ok(()),
            Ok(Ok(result)) => Err(ScopeError::Job { unit: unit.to_owned(), result }),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<String>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the service manager is told of a session, at any time.
fn of_session(id: &SessionId, limits: ScopeLimits) -> Vec<(&'static str, Variant<'static>)> {
    let ScopeLimits { memory_max, tasks_max, cpu_weight, io_weight, runtime_max: _ } = limits;
    let description = format!("Session {id} of an agent");
    // The exact limits are those of the payload, inside. Around them is room for launcher and gate.
    let values = [
        ("MemoryMax", memory_max.map(|bytes| bytes.saturating_add(OWN_MEMORY))),
        ("MemorySwapMax", memory_max.map(|_| 0)),
        ("TasksMax", tasks_max.map(|tasks| tasks.saturating_add(OWN_TASKS))),
        ("CPUWeight", cpu_weight),
        ("IOWeight", io_weight),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name, Variant::from(value?))));
    std::iter::once(("Description", Variant::from(description))).chain(values).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The number that a version begins with, as in `257.7-1`; 0 when it begins with none.
fn number(text: &str) -> u32 {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_understood() {
        for (text, expected) in [("257.7-1~deb13u1", 257), ("252", 252), ("255.4-1ubuntu8", 255), ("odd", 0)]
        {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
