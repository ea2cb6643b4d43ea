//! What all parts of the supervisor share: directories, configuration, leases, the audit trail and the list
//! of sessions. Every lock here is held for a few lines and never across a wait.

use crate::audit::{Audit, Reading, anchors};
use crate::calls::Calls;
use crate::configuration::Configuration;
use crate::guard::Guards;
use crate::network::HostNetwork;
use crate::network::live::tighten;
use crate::objects::{Buses, Subscribers};
use crate::removals::Removals;
use crate::session::Session;
use crate::system::scopes::Scopes;
use crate::system::store::Store;
use crate::waits::Waits;
use agentbox_ipc::{Error, LogVerdict};
use agentbox_kernel::cgroup::{Hierarchy, Layout};
use agentbox_kernel::directory::Directories;
use agentbox_kernel::lease::{Lease, Leases, Range};
use agentbox_kernel::person;
use agentbox_plan::SessionId;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A stop for want of a gate gives the agent this long to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// A launcher that is connected to answers within a millisecond.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(2);

/// The supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Its directories.
    pub(crate) directories: Directories,
    /// The system's configuration, or why there is none that can be used. Replaced by a reload.
    configuration: Mutex<Arc<Result<Configuration, String>>>,
    /// Where that is read.
    configured_in: PathBuf,
    /// What the supervisor before this one went by.
    last_configuration: Option<Configuration>,
    /// Sessions whose networks are still as that one left them.
    taking_over: watch::Sender<BTreeSet<SessionId>>,
    /// Units of the service manager; none in embedded mode.
    scopes: Option<Scopes>,
    /// Descriptors that the service manager keeps for the next supervisor; none in embedded mode.
    store: Option<Store>,
    hierarchy: Result<Hierarchy, String>,
    /// Opened with the first lease.
    leases: Mutex<Option<Leases>>,
    audit: Mutex<Audit>,
    /// Held while the trail is compared with the journal.
    verifying: tokio::sync::Mutex<()>,
    sessions: Mutex<BTreeMap<SessionId, Arc<Session>>>,
    /// Opened with the first session that needs it.
    network: Mutex<Option<Arc<HostNetwork>>>,
    guards: Mutex<Guards>,
    /// What was found at the start and needs a person.
    strangers: Mutex<Vec<String>>,
    /// Where sessions have objects.
    pub(crate) buses: Buses,
    /// Who is told about sessions.
    pub(crate) subscribers: Subscribers,
    /// What is in hand for callers.
    pub(crate) calls: Calls,
    /// Threads that are where paths of persons lead.
    pub(crate) waits: Arc<Waits>,
    /// The lookers of all persons.
    pub(crate) lookers: Waits,
    /// What is being removed.
    pub(crate) removals: Removals,
    /// Told when a session or a connection has ended.
    pub(crate) changed: Notify,
    #[cfg(feature = "testing")]
    for_launchers: Vec<CString>,
}

impl Supervisor {
    /// With no sessions yet.
    pub(crate) fn new(
        directories: Directories,
        configured_in: PathBuf,
        audit: Audit,
        scopes: Option<Scopes>,
        store: Option<Store>,
    ) -> Self {
        let configuration = crate::configuration::read(&configured_in).map_err(|error| error.to_string());
        if let Err(error) = &configuration {
            tracing::error!("{error}");
        }
        Self {
            configured_in,
            last_configuration: Configuration::of_the_last(&directories.runtime),
            taking_over: watch::Sender::default(),
            directories,
            configuration: Mutex::new(Arc::new(configuration)),
            hierarchy: Hierarchy::find_for(if scopes.is_some() { Layout::Scopes } else { Layout::Own })
                .map_err(|error| error.to_string()),
            scopes,
            store,
            leases: Mutex::default(),
            audit: Mutex::new(audit),
            verifying: tokio::sync::Mutex::default(),
            sessions: Mutex::default(),
            network: Mutex::default(),
            guards: Mutex::default(),
            strangers: Mutex::default(),
            buses: Buses::default(),
            subscribers: Subscribers::default(),
            calls: Calls::default(),
            waits: Arc::default(),
            lookers: Waits::default(),
            removals: Removals::default(),
            changed: Notify::new(),
            #[cfg(feature = "testing")]
            for_launchers: ["AGENTBOX_TEST_SKIP", "AGENTBOX_TEST_KILL", "AGENTBOX_TEST_KILL_OF"]
                .iter()
                .filter_map(|name| CString::new(format!("{name}={}", std::env::var(name).ok()?)).ok())
                .collect(),
        }
    }

    /// The system's configuration as it is now, or why there is none that can be used.
    pub(crate) fn configuration(&self) -> Arc<Result<Configuration, String>> {
        Arc::clone(&lock(&self.configuration))
    }

    /// Reads the configuration again. Sessions that run keep what they were started with, but for what closes their
    /// network. The range of leased ids stays: the host's table and the leases were made for it.
    pub(crate) fn reload(&self) {
        let read = self.read_configuration();
        let range = |configuration: &Result<Configuration, String>| {
            configuration.as_ref().ok().map(|configuration| configuration.system.uid_range())
        };
        let event = match (&read, range(&read) == range(&self.configuration())) {
            (Err(error), _) => json!({ "event": "configuration-refused", "what": error }),
            (Ok(_), false) => json!({
                "event": "configuration-refused",
                "what": "uid_range: it is changed by a restart of agentboxd only",
            }),
            (Ok(new), true) => {
                let old = self.configuration();
                let waits =
                    old.as_ref().as_ref().ok().map(|old| agentbox_policy::waiting(&old.system, &new.system));
                for what in waits.iter().flatten() {
                    tracing::info!("{what}");
                }
                json!({ "event": "configuration-read", "waits": waits.filter(|waits| !waits.is_empty()) })
            }
        };
        let is_refused = event["event"] == "configuration-refused";
        if let Some(what) = event["what"].as_str() {
            tracing::error!("the configuration stays as it was: {what}");
        }
        if let Err(error) = self.audit().record(event) {
            tracing::error!("{error}");
        }
        if is_refused {
            return;
        }
        if let Ok(new) = &read {
            let old = self.configuration();
            let old = old.as_ref().as_ref().ok().or(self.last_configuration.as_ref()).unwrap_or(new);
            self.sessions().iter().for_each(|session| tighten(self, session, &old.system, &new.system));
            self.keep_configuration(new);
        }
        *lock(&self.configuration) = Arc::new(read);
    }

    /// The networks of these sessions are to be taken over.
    pub(crate) fn begin_taking_over(&self, ids: &[SessionId]) {
        self.taking_over.send_modify(|taking_over| taking_over.extend(ids.iter().cloned()));
    }

    /// The network of a session was taken over, or could not be, or it has ended: what was tightened since the last
    /// supervisor read the configuration holds for it now. A configuration that cannot be used tightens nothing.
    pub(crate) fn taken_over(&self, id: &SessionId) {
        if !self.taking_over.borrow().contains(id) {
            return;
        }
        let configuration = self.configuration();
        let session = lock(&self.sessions).get(id).cloned();
        if let (Ok(new), Some(session)) = (configuration.as_ref(), session) {
            let old = self.last_configuration.as_ref().unwrap_or(new);
            tighten(self, &session, &old.system, &new.system);
        }
        self.taking_over.send_modify(|taking_over| {
            taking_over.remove(id);
        });
        if let Ok(new) = configuration.as_ref() {
            self.keep_configuration(new);
        }
    }

    /// Waits until that is so for all: who asks is not to find a session without its network.
    pub(crate) async fn all_taken_over(&self) {
        let mut taking_over = self.taking_over.subscribe();
        let all = taking_over.wait_for(BTreeSet::is_empty);
        if tokio::time::timeout(TAKE_OVER_LIMIT, all).await.is_err() {
            for id in &*self.taking_over.borrow() {
                self.report(format!(
                    "session {id} does not say which processes it has; its network stays as it is until it does"
                ));
            }
        }
        if let Ok(configuration) = self.configuration().as_ref() {
            self.keep_configuration(configuration);
        }
    }

    /// For the next supervisor to compare with: not before the last one's has been left behind by everybody.
    fn keep_configuration(&self, configuration: &Configuration) {
        if !self.taking_over.borrow().is_empty() {
            return;
        }
        if let Err(error) = configuration.keep(&self.directories.runtime) {
            self.report(format!("the next supervisor will not know what this one went by: {error}"));
        }
    }

    /// Units of the service manager; none in embedded mode.
    pub(crate) fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Descriptors that the service manager keeps for the next supervisor; none in embedded mode.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The control groups.
    pub(crate) fn hierarchy(&self) -> Result<&Hierarchy, String> {
        self.hierarchy.as_ref().map_err(|error| {
            format!("there are no control groups version 2 here: {error}\nsee `agentboxctl doctor`")
        })
    }

    /// The audit trail.
    pub(crate) fn audit(&self) -> MutexGuard<'_, Audit> {
        lock(&self.audit)
    }

    /// Reads the trail beside everything else.
    pub(crate) async fn read_trail<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let failed = |error: &dyn std::error::Error| Error::Failed(format!("the audit trail: {error}"));
        let reading = self.audit().reading().map_err(|error| Error::Failed(error.to_string()))?;
        self.calls.reading(move || read(&reading)).await.map_err(|error| failed(&error))
    }

    /// Checks the trail. The journal is read first, which may take seconds, one at a time: of those who ask meanwhile
    /// only root waits, so that nobody keeps root from it.
    pub(crate) async fn verify_trail(&self, patiently: bool) -> Result<LogVerdict, Error> {
        let busy =
            |_| Error::Failed("somebody has the trail checked right now\nask again in a moment".to_owned());
        let _alone = match patiently {
            true => self.verifying.lock().await,
            false => self.verifying.try_lock().map_err(busy)?,
        };
        if !self.audit().is_anchored() {
            return self.read_trail(|trail| trail.verify(None)).await;
        }
        let journal = tokio::task::spawn_blocking(anchors::read).await;
        let journal = journal.map_err(|error| Error::Failed(format!("the journal: {error}")))?;
        self.read_trail(move |trail| {
            let mut verdict = trail.verify(journal.as_deref().ok())?;
            if let Err(error) = journal {
                verdict.say(format!("the journal, which knows it too, cannot be read: {error}"));
            }
            Ok(verdict)
        })
        .await
    }

    /// Ids for leases.
    pub(crate) fn lease_range(&self) -> Range {
        self.configuration().as_ref().as_ref().map_or(Range::DEFAULT, |configuration| {
            let (first, count) = configuration.system.uid_range();
            Range { first, count }
        })
    }

    /// Takes a lease for a session that nobody on this host knows, and no other session has: the whole block, as the
    /// agent's own id may be its person's, and the console and the gates have the others.
    pub(crate) fn take_lease(&self, id: &SessionId) -> Result<Lease, String> {
        let mut leases = lock(&self.leases);
        let leases = match &mut *leases {
            Some(leases) => leases,
            empty => {
                let opened =
                    Leases::open(&self.directories.state, &self.directories.runtime, self.lease_range());
                empty.insert(opened.map_err(|error| format!("leases: {error}"))?)
            }
        };
        let in_use: BTreeSet<u32> = lock(&self.sessions)
            .values()
            .filter_map(|session| session.lease())
            .flat_map(Lease::ids)
            .collect();
        let known = |id: u32| in_use.contains(&id) || person::uid_known(id) || person::gid_known(id);
        let lease = leases.take(&known).map_err(|error| format!("leases: {error}"))?;
        // Before the lock is given back: whoever comes next finds it in use.
        if let Some(session) = self.session(id) {
            session.set_lease(lease);
        }
        Ok(lease)
    }

    /// What sessions with a network share.
    pub(crate) fn network(self: &Arc<Self>) -> Result<Arc<HostNetwork>, String> {
        let mut network = lock(&self.network);
        if let Some(network) = &*network {
            return Ok(Arc::clone(network));
        }
        let opened = HostNetwork::open(self)?;
        Ok(Arc::clone(network.insert(opened)))
    }

    /// The same, when a session needed it before.
    pub(crate) fn network_if_open(&self) -> Option<Arc<HostNetwork>> {
        lock(&self.network).clone()
    }

    /// The kernel's guard of trigger files.
    pub(crate) fn guards(&self) -> MutexGuard<'_, Guards> {
        lock(&self.guards)
    }

    /// A session by its id.
    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        lock(&self.sessions).get(id).cloned()
    }

    /// Stops a session that is not to go on without its gate.
    pub(crate) fn stop_for_lost_gate(&self, id: &SessionId) {
        if let Some(session) = self.session(id) {
            tokio::spawn(async move { session.stop(STOP_TIMEOUT).await });
        }
    }

    /// All sessions.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// Adds a session.
    pub(crate) fn register(&self, session: Arc<Session>) {
        lock(&self.sessions).insert(session.id().clone(), session);
        self.changed.notify_one();
    }

    /// Removes a session that is gone.
    pub(crate) fn unregister(&self, id: &SessionId) {
        lock(&self.sessions).remove(id);
        self.taken_over(id);
        self.changed.notify_one();
    }

    /// Remembers something that a person has to look at.
    pub(crate) fn report(&self, what: String) {
        tracing::error!("{what}");
        lock(&self.strangers).push(what);
    }

    /// What a person has to look at.
    pub(crate) fn reported(&self) -> Vec<String> {
        lock(&self.strangers).clone()
    }

    fn read_configuration(&self) -> Result<Configuration, String> {
        crate::configuration::read(&self.configured_in).map_err(|error| error.to_string())
    }

    /// What to say when the files of the configuration are not what was read of them.
    pub(crate) fn outdated(&self) -> Option<String> {
        let (held, now) = (self.configuration(), self.read_configuration());
        let same = match (held.as_ref(), &now) {
            (Ok(held), Ok(now)) => held.kept == now.kept,
            (Err(held), Err(now)) => held == now,
            _ => false,
        };
        let again = match self.scopes {
            Some(_) => "systemctl reload agentboxd".to_owned(),
            None => format!("sudo kill -HUP {}", std::process::id()),
        };
        let place = self.configured_in.display();
        (!same).then(|| format!("{place} was changed since it was read; to have it read again: {again}"))
    }

    /// What keeps it from starting sessions, or needs a person.
    pub(crate) fn problems(&self) -> Vec<String> {
        let configuration = self.configuration();
        let configuration =
            configuration.as_ref().as_ref().err().map(|error| format!("configuration: {error}"));
        let hierarchy = self.hierarchy().err();
        let audit = self.audit().problem().map(str::to_owned);
        configuration
            .into_iter()
            .chain(hierarchy)
            .chain(audit)
            .chain(self.outdated())
            .chain(self.reported())
            .collect()
    }

    /// With all its directories below one, for tests.
    #[cfg(test)]
    pub(crate) fn in_directory(path: &std::path::Path) -> Self {
        let below = |name: &str| path.join(name);
        let paths = agentbox_kernel::directory::Paths {
            runtime: below("runtime"),
            state: below("state"),
            logs: below("logs"),
        };
        let directories = Directories::open(paths, true).unwrap();
        let audit = Audit::open(directories.logs.try_clone().unwrap(), None);
        Self::new(directories, below("configuration"), audit, None, None)
    }

    /// Environment of launchers: empty, but for what a test switches off or kills.
    #[cfg(feature = "testing")]
    pub(crate) fn launcher_environment(&self) -> Vec<CString> {
        self.for_launchers.clone()
    }

    /// Environment of launchers: empty.
    #[cfg(not(feature = "testing"))]
    pub(crate) fn launcher_environment(&self) -> Vec<CString> {
        Vec::new()
    }
}

/// A panic while a lock was held leaves values that are whole: each is changed by one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Record;

    #[test]
    fn a_block_of_ids_is_in_use_as_a_whole_whoever_the_agent_runs_as() {
        let place = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(place.path());
        let range = Range { first: 2_001_000_000, count: 12 };
        let directories = &supervisor.directories;
        let leases = Leases::open(&directories.state, &directories.runtime, range).unwrap();
        *lock(&supervisor.leases) = Some(leases);
        let id = |number: u32| format!("s{number:07}").parse::<SessionId>().unwrap();
        // At L1 none of them has its agent run as an id of its block.
        let begin = |number| {
            supervisor.register(Arc::new(Session::without_driver(Record::unknown(id(number)))));
            supervisor.take_lease(&id(number))
        };
        let mut firsts: Vec<_> = (1..=3).map(|number| begin(number).unwrap().first).collect();
        let second = firsts[1];
        firsts.dedup();
        assert_eq!(firsts.len(), 3);
        let refused = begin(4).unwrap_err();
        assert!(refused.contains("in use"), "{refused}");
        supervisor.unregister(&id(2));
        assert_eq!(supervisor.take_lease(&id(4)).unwrap().first, second);
    }

    #[tokio::test]
    async fn what_the_last_one_went_by_is_known_until_all_it_left_is_taken_over() {
        let place = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(place.path().join("configuration")).unwrap();
        let supervisor = Supervisor::in_directory(place.path());
        let ids = ["s0000001", "s0000002"].map(|id| id.parse::<SessionId>().unwrap());
        let is_kept = || Configuration::of_the_last(&supervisor.directories.runtime).is_some();
        supervisor.begin_taking_over(&ids);
        let order = std::sync::Mutex::new(Vec::new());
        let served = async {
            supervisor.all_taken_over().await;
            order.lock().unwrap().push("served");
        };
        let taken = async {
            supervisor.taken_over(&ids[0]);
            // Said twice it is one all the same.
            supervisor.taken_over(&ids[0]);
            tokio::task::yield_now().await;
            assert!(!is_kept());
            order.lock().unwrap().push("taken");
            supervisor.unregister(&ids[1]);
            assert!(is_kept());
        };
        tokio::join!(served, taken);
        assert_eq!(*order.lock().unwrap(), ["taken", "served"]);
        assert!(supervisor.reported().is_empty(), "{:?}", supervisor.reported());
    }
}
