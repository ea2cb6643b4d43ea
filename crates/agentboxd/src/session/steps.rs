//! How each step of a session is performed and reverted.
//!
//! Performing is a few system calls each and does not wait. Reverting is idempotent, waits where it must
//! (for processes to be gone) and says what it could not do; the driver goes on to the next one.

use super::kept::{self, OwnDirectory};
use super::keys::Keys;
mod group;

pub(crate) use group::{end_holder, remove_rest};

use super::network::Network;
use super::order::{Order, Record};
use super::sources::Looked;
use super::supervise::{Reports, Supervise, greet};
use super::{Live, Step};
use crate::descriptor::watch;
use crate::guard;
use crate::kill_point::{self, Point};
use crate::ledger::{Ledger, LedgerError};
use crate::network::gate::GateError;
use crate::supervisor::Supervisor;
use crate::system::scopes::ScopeError;
use crate::system::stock::{self, Held};
use crate::workspace::{self, Guarded, Hidden, Seen, Surveyed, Told, Watch, WorkspaceError};
use agentbox_ipc::Error;
use agentbox_kernel::cgroup::{CgroupError, SessionGroup};
use agentbox_kernel::console;
use agentbox_kernel::directory::DirectoryError;
use agentbox_kernel::launcher::{self, Holder, Launcher, LauncherError};
use agentbox_kernel::lease::Lease;
use agentbox_kernel::{netns, own};
use agentbox_plan::console::{Client, Hello};
use agentbox_plan::look::Remembered;
use agentbox_plan::{Plan, Wire};
use agentbox_policy::{Guard, PolicyError};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// How long a revert waits for killed processes. The kernel needs milliseconds; a process in
/// uninterruptible sleep can need for ever, and is then left to `Repair`.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("control group: {0}")]
    Group(#[from] CgroupError),
    #[error("{0}")]
    Scope(#[from] ScopeError),
    #[error("console: {0}")]
    Console(#[from] console::ConsoleError),
    #[error("launcher: {0}")]
    Launcher(#[from] LauncherError),
    #[error("{0}")]
    Gate(#[from] GateError),
    #[error(transparent)]
    Layer(#[from] agentbox_kernel::layer::LayerError),
    #[error("{0}")]
    Workspace(#[from] WorkspaceError),
    #[error("{0}")]
    Policy(#[from] PolicyError),
    #[error("{0}")]
    Guard(#[from] agentbox_kernel::guard::GuardError),
    #[error("{0}")]
    Host(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl StepError {
    /// What the one who asked for the session is told.
    pub(crate) fn for_caller(&self, step: Step) -> Error {
        match self {
            Self::Policy(error) | Self::Workspace(WorkspaceError::Policy(error)) => {
                crate::start::policy_error(error)
            }
            Self::Host(text) => Error::Failed(text.clone()),
            other => Error::Failed(format!("the session could not be started: {}: {other}", step.name())),
        }
    }
}

/// What a session holds on this host, in the order in which it was taken.
#[derive(Debug)]
pub(crate) struct Steps {
    supervisor: Arc<Supervisor>,
    record: Record,
    /// `None` for a session that was re-adopted: its steps are only reverted.
    order: Option<Order>,
    lease_first: u32,
    leasing: Option<JoinHandle<Result<Lease, String>>>,
    /// The namespace of a session that has a gate, on its way.
    preparing: Option<JoinHandle<Result<netns::Prepared, netns::NetnsError>>>,
    directory: Option<OwnedFd>,
    ledger: Option<Ledger>,
    listener: Option<OwnedFd>,
    /// The scope that it was given from stock, until its group is made.
    stocked: Option<Held>,
    /// The service manager is being told whose that scope is.
    assigning: Option<JoinHandle<Result<(), ScopeError>>>,
    /// Holds the scope until the launcher is in it.
    holder: Option<Holder>,
    pub(super) group: Option<SessionGroup>,
    network: Option<Network>,
    pub(super) keys: Option<Keys>,
    surveyed: Surveyed,
    looked: Option<Result<Looked, StepError>>,
    /// What the end has to know of the project is on its way to the disk.
    keeping: Option<JoinHandle<Result<(), WorkspaceError>>>,
    /// A watch that is about to begin.
    watching: Option<JoinHandle<Result<(Watch, Guarded), WorkspaceError>>>,
    watch: Option<Watch>,
    pub(crate) seen: Option<mpsc::UnboundedReceiver<Seen>>,
    told: Told,
    /// Whether something of git's may have been put back.
    pub(crate) restored: bool,
    /// Whether something of the session may have run.
    released: bool,
    sources: Vec<OwnedFd>,
    /// The agent's own directories.
    own: Vec<OwnDirectory>,
    /// Whether an agent may have run in it, and nothing was taken back yet.
    own_ran: bool,
    plan: Option<Plan>,
    release: Option<OwnedFd>,
    pub(crate) launcher: Option<Watched>,
    pub(crate) reports: Option<Reports>,
    pub(crate) supervise: Option<Supervise>,
    /// The client's end of the console.
    pub(crate) client: Option<OwnedFd>,
}

/// A launcher whose end can be waited for.
#[derive(Debug)]
pub(crate) struct Watched {
    launcher: Launcher,
    /// pidfd_open(2): readable when the process has ended.
    ended: AsyncFd<OwnedFd>,
}

impl Watched {
    fn new(launcher: Launcher) -> io::Result<Self> {
        let ended = watch(launcher.pidfd.try_clone()?, Interest::READABLE)?;
        Ok(Self { launcher, ended })
    }

    /// Waits until it has ended. Cancel safe.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.ended.readable().await.map(drop)
    }
}

impl Steps {
    /// Of a session that is about to start.
    pub(crate) fn new(
        supervisor: Arc<Supervisor>,
        record: Record,
        order: Order,
        stocked: Option<Held>,
    ) -> Self {
        Self { stocked, ..Self::empty(supervisor, record, Some(order)) }
    }

    /// Of a session that an earlier supervisor started.
    pub(crate) fn adopted(
        supervisor: Arc<Supervisor>,
        record: Record,
        directory: Option<OwnedFd>,
        group: SessionGroup,
        launcher: Option<Launcher>,
    ) -> io::Result<Self> {
        let mut steps = Self::empty(supervisor, record, None);
        (steps.released, steps.restored) = (true, true);
        steps.launcher = launcher.map(Watched::new).transpose()?;
        steps.directory = directory;
        steps.group = Some(group);
        Ok(steps)
    }

    /// Connects to the launcher of a re-adopted session. One that takes no connection now may later; one that does
    /// not listen any more is about to end, which its pidfd will tell.
    pub(crate) fn connect_again(&mut self) {
        let connection = self.directory.as_ref().and_then(|directory| console::connect(directory).ok());
        self.supervise = connection.and_then(|connection| Supervise::new(connection).ok());
    }

    fn empty(supervisor: Arc<Supervisor>, record: Record, order: Option<Order>) -> Self {
        Self {
            supervisor,
            record,
            order,
            lease_first: 0,
            leasing: None,
            preparing: None,
            directory: None,
            ledger: None,
            listener: None,
            stocked: None,
            assigning: None,
            holder: None,
            group: None,
            network: None,
            keys: None,
            surveyed: Surveyed::default(),
            looked: None,
            keeping: None,
            watching: None,
            watch: None,
            seen: None,
            told: Told::default(),
            restored: false,
            released: false,
            sources: Vec::new(),
            own: Vec::new(),
            own_ran: false,
            plan: None,
            release: None,
            launcher: None,
            reports: None,
            supervise: None,
            client: None,
        }
    }

    /// Takes over the network of a re-adopted session, whose namespace is that of its PID 1. The number comes
    /// from a process that reads what agents write, so it counts only for one of the session's own.
    pub(crate) fn adopt_network(&mut self, init_pid: u32) -> Result<(), String> {
        let (Some(directory), Some(group)) = (&self.directory, &self.group) else { return Ok(()) };
        if self.network.is_some() || self.order.is_some() {
            return Ok(());
        }
        if !group.payload_pids().map_err(|error| error.to_string())?.contains(&init_pid) {
            return Err(format!("process {init_pid} is not one of its own"));
        }
        let (supervisor, record) = (&self.supervisor, &self.record);
        let Some(network) = Network::adopt(supervisor, record, directory, group, init_pid)? else {
            return Ok(());
        };
        if let Some(session) = supervisor.session(&record.id) {
            session.set_network(Arc::clone(network.shared()));
        }
        self.network = Some(network);
        Ok(())
    }

    /// Takes over the ssh-agent of a re-adopted session.
    pub(crate) fn adopt_keys(&mut self) -> Result<(), String> {
        let (Some(directory), Some(group)) = (&self.directory, &self.group) else { return Ok(()) };
        if self.keys.is_none() && self.order.is_none() {
            self.keys = Keys::adopt(&self.supervisor, &self.record, directory, group)?;
        }
        Ok(())
    }

    /// Goes on with the ledger of a re-adopted session.
    pub(crate) fn reopen_ledger(&mut self) {
        self.ledger = self.directory.as_ref().and_then(|directory| Ledger::reopen(directory).ok());
    }

    /// Performs a step. The ledger says so before; `live` learns what it brought.
    pub(crate) async fn perform(&mut self, step: Step, live: &mut Live) -> Result<(), StepError> {
        kill_point::reached(Point::Before(step));
        if let Some(ledger) = &mut self.ledger {
            ledger.begun(step)?;
        }
        match step {
            Step::Lease => self.lease(),
            Step::Directory => self.make_directory(),
            // It is looked at while the next step waits for the service manager.
            Step::Project => Ok(()),
            Step::Group => match self.survey_and_group(live).await {
                Ok(()) => self.guard(live).await,
                failed => failed,
            },
            Step::Network => match self.leased().await {
                Ok(()) => self.make_network().await.and_then(|()| self.make_keys()),
                failed => failed,
            },
            Step::Sources => self.open_sources(live),
            Step::Spawn => self.spawn().await,
            Step::Connect => self.connect(),
            Step::Release => self.release(live).await,
        }?;
        kill_point::reached(Point::After(step));
        if let Some(ledger) = &mut self.ledger {
            ledger.done(step)?;
        }
        Ok(())
    }

    /// Reverts a step, whether it was performed whole, in part or not at all.
    pub(crate) async fn revert(&mut self, step: Step) -> Result<(), StepError> {
        kill_point::reached(Point::BeforeRevert(step));
        match step {
            // Leases are never given twice, so there is nothing to give back; a scope that it did not come to is its own.
            Step::Lease => {
                if let Some(held) = self.stocked.take() {
                    stock::discard(&self.supervisor, held);
                }
            }
            Step::Release => self.release = None,
            Step::Connect => {
                self.supervise = None;
                self.client = None;
            }
            Step::Spawn => self.end_launcher().await?,
            Step::Sources => {
                self.sources.clear();
                // Nothing writes any more: its processes are gone with its launcher.
                crate::layers::end(&self.supervisor, &self.record)?;
            }
            Step::Network => {
                if let Some(keys) = self.keys.take() {
                    keys.revert(&self.supervisor).await?;
                }
                if let Some(network) = self.network.take() {
                    network.revert(&self.supervisor).await?;
                }
            }
            Step::Group => {
                self.remove_group().await?;
                // Only now does nothing of it run.
                guard::release(&self.supervisor, &self.record.id)?;
            }
            // A process of the session could change what is being looked at.
            Step::Project if self.group.is_some() => return Err(missing("an end of its control group")),
            Step::Project => {
                self.end_watch().await;
                if self.released {
                    workspace::sweep(&self.supervisor, &self.record.id, self.restored).await?;
                } else {
                    // What was still on its way to the disk is forgotten there as well.
                    let _ = self.kept().await;
                    workspace::forget(&self.supervisor, &self.record.id)?;
                }
            }
            // It says that the group is ours, which whoever clears up later has to know.
            Step::Directory if self.group.is_some() => return Err(missing("an end of its control group")),
            Step::Directory => {
                self.take_back();
                self.listener = None;
                self.ledger = None;
                self.directory = None;
                self.supervisor.directories.remove_session(&self.record.id)?;
            }
        }
        kill_point::reached(Point::AfterRevert(step));
        if let Some(ledger) = &mut self.ledger {
            ledger.reverted(step)?;
        }
        Ok(())
    }

    fn order(&self) -> Result<&Order, StepError> {
        self.order.as_ref().ok_or_else(|| missing("an order"))
    }

    /// Begins to look for ids that nobody knows: the name service may ask other programs about each of them, while this
    /// one waits for others. A network namespace needs nothing of the session, and is made meanwhile as well.
    fn lease(&mut self) -> Result<(), StepError> {
        let (supervisor, id) = (Arc::clone(&self.supervisor), self.record.id.clone());
        self.leasing = Some(tokio::task::spawn_blocking(move || supervisor.take_lease(&id)));
        if self.order()?.policy.has_gate() {
            self.preparing = Some(tokio::task::spawn_blocking(netns::prepare));
        }
        Ok(())
    }

    /// Waits for the ids. Nothing has been made for them before.
    async fn leased(&mut self) -> Result<(), StepError> {
        let leasing = self.leasing.take().ok_or_else(|| missing("a lease"))?;
        let lease = leasing.await.map_err(io::Error::from)?;
        self.lease_first = lease.map_err(StepError::Host)?.first;
        Ok(())
    }

    fn make_directory(&mut self) -> Result<(), StepError> {
        let directory = self.supervisor.directories.create_session(&self.record.id)?;
        self.ledger = Some(Ledger::create(&directory, &self.record)?);
        self.listener = Some(console::listen(&directory)?);
        self.directory = Some(directory);
        Ok(())
    }

    /// Has the project looked at, the control group made and the sources opened, at once: all are mostly waited for. How
    /// that of the sources went is the answer of their own step.
    async fn survey_and_group(&mut self, live: &mut Live) -> Result<(), StepError> {
        let (supervisor, order) = (Arc::clone(&self.supervisor), self.order.take());
        let given = order.as_ref().ok_or_else(|| missing("an order"))?;
        let survey = workspace::survey(&supervisor, given);
        let look = super::sources::look(&supervisor, given, true);
        let (surveyed, made, looked) = tokio::join!(survey, self.make_group(given, live), look);
        (self.order, self.looked) = (order, Some(looked));
        made?;
        self.surveyed = surveyed?;
        live.notes.append(&mut self.surveyed.notes);
        let Some(remembered) = self.surveyed.remembered.clone() else { return Ok(()) };
        // Both are waited for before anything runs.
        let (supervisor, id, bytes) =
            (Arc::clone(&self.supervisor), self.record.id.clone(), remembered.to_bytes());
        self.start_watch(remembered)?;
        let keep = move || workspace::keep(&supervisor, &id, &bytes);
        self.keeping = Some(tokio::task::spawn_blocking(keep));
        // The watch has its process before this one goes on.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Waits until it is on the disk.
    async fn kept(&mut self) -> Result<(), StepError> {
        match self.keeping.take() {
            Some(keeping) => Ok(keeping.await.map_err(io::Error::from)??),
            None => Ok(()),
        }
    }

    fn start_watch(&mut self, remembered: Remembered) -> Result<(), StepError> {
        if !agentbox_kernel::failpoint::in_force("project-watch") {
            return Ok(());
        }
        let hierarchy = self.supervisor.hierarchy().map_err(StepError::Host)?;
        let Some(group) = hierarchy.open_existing(&self.record.id)? else { return Ok(()) };
        let (tell, seen) = mpsc::unbounded_channel();
        let (supervisor, id) = (Arc::clone(&self.supervisor), self.record.id.clone());
        self.watching = Some(tokio::spawn(workspace::watch(supervisor, id, remembered, group, tell)));
        self.seen = Some(seen);
        Ok(())
    }

    /// Waits until the project is watched.
    async fn watched(&mut self, live: &mut Live) -> Result<(), StepError> {
        let Some(watching) = self.watching.take() else { return Ok(()) };
        let guarded = match watching.await.map_err(io::Error::from)? {
            Ok((watch, guarded)) => {
                self.watch = Some(watch);
                guarded
            }
            // Some file systems and containers have no fanotify; the look at the end needs none.
            Err(error) => Guarded::Nothing(error.to_string()),
        };
        live.notes.push(guarded.words(self.freezes()));
        Ok(())
    }

    /// Watches the project of a session that an earlier supervisor started, if it may change it.
    pub(crate) async fn watch_again(&mut self, live: &mut Live) -> Result<(), StepError> {
        if let Some(remembered) = workspace::remembered(&self.supervisor, &self.record.id)? {
            self.start_watch(remembered)?;
        }
        self.watched(live).await
    }

    async fn end_watch(&mut self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        if let Some(watch) = self.watch.take() {
            watch.end().await;
        }
        // What was put back at the last moment belongs into the report as well.
        while let Some(Ok(seen)) = self.seen.as_mut().map(mpsc::UnboundedReceiver::try_recv) {
            if let Seen::Restored { refused } = seen {
                self.put_back(&refused);
            }
        }
        self.seen = None;
        let counted = self.told.count(Instant::now());
        self.tell(counted);
    }

    /// A configuration of git's was put back.
    pub(crate) fn put_back(&mut self, refused: &[(String, String)]) {
        self.restored = true;
        let event = self.told.put_back(refused, Instant::now());
        self.tell(event);
    }

    /// The watch of its project lost sight.
    pub(crate) fn lost_sight(&mut self) {
        let event = self.told.lost();
        self.tell(event);
    }

    fn tell(&self, events: impl IntoIterator<Item = serde_json::Value>) {
        for event in events {
            let _logged = self.supervisor.audit().record_of(&self.record.id, self.record.owner_uid, event);
        }
    }

    /// Whether a trigger file freezes it.
    pub(crate) fn freezes(&self) -> bool {
        self.record.values.iter().any(|[key, value, _]| key == "on_trigger" && value == "freeze")
    }

    /// The kernel refuses trigger files from now on, where it can. Nothing of the session runs yet.
    async fn guard(&mut self, live: &mut Live) -> Result<(), StepError> {
        let order = self.order()?;
        let wanted = order.policy.guard();
        if wanted == Guard::Off || !agentbox_kernel::failpoint::in_force("guard") {
            live.notes.extend(self.surveyed.hidden.by_mounts_alone());
            return Ok(());
        }
        let directory = self.directory.as_ref().ok_or_else(|| missing("a directory"))?;
        let group = self.group.as_ref().ok_or_else(|| missing("a control group"))?;
        let (record, surveyed) = (&self.record, &self.surveyed);
        let held = guard::hold(&self.supervisor, record, order, surveyed, directory, group);
        live.guard = match held.await {
            Ok(left_out) => {
                live.notes.extend(Hidden::left_out(left_out));
                guard::Held::Kernel
            }
            Err(error) if wanted == Guard::Require => {
                return Err(StepError::Host(format!(
                    "refused: the kernel does not guard trigger files here: {error}\n\
                     rule: {}\n\
                     see `agentboxctl doctor`",
                    order.policy.guard_origin()
                )));
            }
            Err(error) => {
                live.notes.push(format!("trigger files are not guarded by the kernel: {error}"));
                live.notes.extend(surveyed.hidden.by_mounts_alone());
                guard::Held::Missing(error.to_string())
            }
        };
        Ok(())
    }

    /// Whether it is frozen now.
    pub(crate) fn is_frozen(&self) -> bool {
        self.group.as_ref().is_some_and(SessionGroup::is_frozen)
    }

    async fn make_network(&mut self) -> Result<(), StepError> {
        let Some(preparing) = self.preparing.take() else { return Ok(()) };
        let prepared = preparing.await.map_err(io::Error::from)?.map_err(GateError::from)?;
        let directory = self.directory.as_ref().ok_or_else(|| missing("a directory"))?;
        let group = self.group.as_ref().ok_or_else(|| missing("a control group"))?;
        let order = self.order.as_ref().ok_or_else(|| missing("an order"))?;
        let network = Network::make(
            &self.supervisor,
            &self.record,
            &order.policy,
            prepared,
            self.lease_first,
            directory,
            &group.supervise,
        )?;
        self.network = Some(network);
        Ok(())
    }

    fn make_keys(&mut self) -> Result<(), StepError> {
        let directory = self.directory.as_ref().ok_or_else(|| missing("a directory"))?;
        let group = self.group.as_ref().ok_or_else(|| missing("a control group"))?;
        let (order, lease) = (self.order()?, self.lease_first);
        self.keys = Keys::make(&self.supervisor, &self.record, order, lease, directory, &group.supervise)?;
        Ok(())
    }

    fn open_sources(&mut self, live: &mut Live) -> Result<(), StepError> {
        let looked = self.looked.take().ok_or_else(|| missing("a look at its sources"))??;
        let (sources, plan, own) = super::sources::open(
            &self.supervisor,
            self.order()?,
            &self.record,
            self.lease_first,
            self.surveyed.held.clone(),
            looked,
        )?;
        let directory = self.directory.as_ref().ok_or_else(|| missing("a directory"))?;
        super::sources::keep_plan(directory, &plan)?;
        (live.uid, live.gid) = (plan.identity.agent.uid, plan.identity.agent.gid);
        self.plan = Some(plan);
        self.sources = sources;
        self.own = own;
        Ok(())
    }

    async fn spawn(&mut self) -> Result<(), StepError> {
        let program = launcher::find_program()?;
        let (their_release, release) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let (their_report, report) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(io::Error::from)?;
        let group = self.group.as_ref().ok_or_else(|| missing("a control group"))?;
        let launcher = launcher::spawn(launcher::Spawn {
            program: &program,
            plan: &Zeroizing::new(self.plan.as_ref().ok_or_else(|| missing("a plan"))?.to_bytes()),
            console: self.listener.take().ok_or_else(|| missing("a console"))?,
            release: their_release,
            report: their_report,
            payload: group.payload.try_clone()?,
            network: self.network.as_ref().map(Network::namespace).transpose()?,
            sources: std::mem::take(&mut self.sources),
            supervise_group: &group.supervise,
            environment: self.supervisor.launcher_environment(),
        })?;
        self.launcher = Some(Watched::new(launcher)?);
        self.release = Some(release);
        self.reports = Some(Reports::new(report)?);
        self.let_go().await
    }

    /// Both connections wait in the backlog of the console until the launcher is released.
    fn connect(&mut self) -> Result<(), StepError> {
        let directory = self.directory.as_ref().ok_or_else(|| missing("a directory"))?;
        self.supervise = Some(Supervise::new(console::connect(directory)?)?);
        let order = self.order()?;
        if order.detach {
            // The answer carries a socket in any case; this one has ended.
            let (theirs, _closed) = UnixStream::pair()?;
            self.client = Some(theirs.into());
        } else {
            let client = console::connect(directory)?;
            let hello = Client { streams: order.streams, size: order.size };
            greet(&client, &Hello::Attach { client: hello })?;
            self.client = Some(client);
        }
        Ok(())
    }

    async fn release(&mut self, live: &mut Live) -> Result<(), StepError> {
        self.assigned().await?;
        self.kept().await?;
        self.watched(live).await?;
        // Nothing runs before everything is in force, and the gates confine themselves meanwhile.
        if let Some(network) = &mut self.network {
            network.ready().await?;
        }
        if let Some(keys) = &mut self.keys {
            keys.ready().await?;
        }
        let release = self.release.take().ok_or_else(|| missing("a launcher"))?;
        (self.released, self.own_ran) = (true, true);
        rustix::io::write(&release, &[1]).map_err(io::Error::from)?;
        // What only the steps needed. The listener is the launcher's now.
        self.order = None;
        if let Some(plan) = self.plan.take() {
            super::sources::forget(plan.process);
        }
        Ok(())
    }

    /// Takes back what is kept of the agent's own files: all that ran in the session is gone.
    fn take_back(&mut self) {
        let own = std::mem::take(&mut self.own);
        if !self.own_ran {
            return;
        }
        self.own_ran = false;
        self.tell(kept::take_back(&self.supervisor, &self.record, &own));
    }

    /// Finds the agent's own directories of a re-adopted session again, as [`adopt_network`](Self::adopt_network)
    /// does its network.
    pub(crate) fn adopt_own(&mut self, init_pid: u32) -> Result<(), String> {
        let Some(group) = &self.group else { return Ok(()) };
        if self.order.is_some() || self.own_ran {
            return Ok(());
        }
        if !group.payload_pids().map_err(|error| error.to_string())?.contains(&init_pid) {
            return Err(format!("process {init_pid} is not one of its own"));
        }
        for path in &self.record.own {
            if let Some(root) = own::find(init_pid, path).map_err(|error| error.to_string())? {
                self.own.push(OwnDirectory { path: path.clone(), root, put: Vec::new() });
            }
        }
        self.own_ran = true;
        Ok(())
    }

    /// Has everything of the agent stand still, or go on. What is on its way into the kernel stops there.
    pub(crate) fn stand_still(&self, still: bool) -> Result<(), StepError> {
        match &self.group {
            Some(group) if still => Ok(group.freeze(Duration::ZERO).map(drop)?),
            Some(group) => Ok(group.thaw()?),
            None => Ok(()),
        }
    }

    /// Kills what runs in the payload.
    pub(crate) fn kill_payload(&self) -> Result<(), StepError> {
        match &self.group {
            Some(group) => Ok(group.kill_payload()?),
            None => Ok(()),
        }
    }

    /// Collects a launcher that has ended.
    pub(crate) fn reap(&mut self) {
        if let Some(launcher) = &self.launcher
            && let Err(error) = launcher.launcher.try_wait()
        {
            tracing::warn!("launcher of {}: {error}", self.record.id);
        }
    }

    async fn end_launcher(&mut self) -> Result<(), StepError> {
        self.release = None;
        let Some(launcher) = &self.launcher else { return Ok(()) };
        if launcher.launcher.try_wait()?.is_none() {
            if let Some(group) = &self.group {
                group.kill()?;
            }
            match tokio::time::timeout(GONE_LIMIT, launcher.ended()).await {
                Ok(ended) => ended?,
                Err(_elapsed) => return Err(missing("an end of the launcher")),
            }
            launcher.launcher.try_wait()?;
        }
        self.launcher = None;
        self.reports = None;
        Ok(())
    }
}

pub(crate) fn missing(what: &str) -> StepError {
    StepError::Host(format!("there is no {}", what.trim_start_matches("an ").trim_start_matches("a ")))
}
