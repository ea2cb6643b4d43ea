//! What both ways to run have in common: limits of this process, directories, first and last words.

use crate::audit::Audit;
use crate::options::Options;
use crate::supervisor::Supervisor;
use crate::system::scopes::Scopes;
use crate::system::store::Store;
use agentbox_kernel::directory::{Directories, DirectoryError, Paths};
use agentbox_kernel::journal::Journal;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// SD_LISTEN_FDS_START of sd_listen_fds(3).
pub(crate) const FIRST_LISTEN_FD: i32 = 3;

/// How long threads that still do something are waited for in the end. Those that wait for file systems of persons may
/// never be done.
const THREADS_LIMIT: Duration = Duration::from_secs(5);

/// Runs what the process is for. One thread: there is little to do at once, and a pool costs every start its threads.
/// What may wait for long has threads of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_LIMIT);
    Ok(done)
}

/// Its directories, as systemd.exec(5) names them in the environment.
pub(crate) fn directories() -> Result<Directories, DirectoryError> {
    Directories::open(Paths::from_variables(|name| std::env::var_os(name))?, true)
}

/// A supervisor that knows its configuration and trail, and no session yet.
pub(crate) fn supervisor(
    options: &Options,
    directories: Directories,
    scopes: Option<Scopes>,
    store: Option<Store>,
) -> std::io::Result<Arc<Supervisor>> {
    let journal = scopes.is_some().then(Journal::open).transpose()?;
    let audit = Audit::open(directories.logs.try_clone()?, journal);
    let supervisor = Arc::new(Supervisor::new(directories, options.configuration(), audit, scopes, store));
    note(&supervisor, "daemon-started");
    Ok(supervisor)
}

/// It holds the environments that sessions are started with: nobody reads its memory, and it leaves no core.
pub(crate) fn forbid_inspection() -> std::io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// While there is one thread; a start that finds nothing ready makes it so.
pub(crate) fn prepare_starts() {
    if let Err(error) = agentbox_kernel::launcher::prepare() {
        tracing::warn!("{error}");
    }
}

/// Each source of a session is a descriptor while it starts. The soft limit of 1024 exists for select(2),
/// which nothing here uses; the launcher sets the limits of sessions.
pub(crate) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!("RLIMIT_NOFILE: {error}");
    }
}

/// Puts away what only sessions need, and says the last words.
pub(crate) fn end(supervisor: &Supervisor) {
    // It holds sessions, and none is left.
    if supervisor.sessions().is_empty() {
        crate::network::host::close(supervisor.lease_range());
    }
    crate::guard::close(supervisor);
    note(supervisor, "daemon-ended");
}

fn note(supervisor: &Supervisor, event: &str) {
    let event = json!({ "event": event, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") });
    if let Err(error) = supervisor.audit().record(event) {
        tracing::error!("{error}");
    }
}
