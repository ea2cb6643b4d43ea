//! The steps of a session's network: namespace and gate made, confined before anything runs, and ended.

use super::order::Record;
use super::steps::{StepError, missing};
use crate::descriptor::watch;
use crate::network::SessionNetwork;
use crate::network::denials::Denials;
use crate::network::gate::{Conversation, GateError, Parts};
use crate::network::session::{Fixed, OnLoss, Shared};
use crate::supervisor::Supervisor;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_kernel::launcher::Launcher;
use agentbox_kernel::{dial, gate, netns};
use agentbox_plan::SessionId;
use agentbox_policy::{OnGateLoss, Policy};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A gate confines itself in a few milliseconds; this is for a host that is swapping.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// After SIGKILL.
const GONE_LIMIT: Duration = Duration::from_secs(5);
/// Ports below need a right that a person does not have.
const FIRST_FREE_PORT: u16 = 1024;

/// What a session holds of the network.
#[derive(Debug)]
pub(crate) struct Network {
    shared: Shared,
    namespace: OwnedFd,
    conversation: JoinHandle<()>,
    ready: Option<oneshot::Receiver<Result<(), String>>>,
}

impl Network {
    /// Starts the gate in a namespace that is ready.
    pub(super) fn make(
        supervisor: &Arc<Supervisor>,
        record: &Record,
        policy: &Policy,
        prepared: netns::Prepared,
        lease_first: u32,
        directory: &OwnedFd,
        group: &OwnedFd,
    ) -> Result<Self, StepError> {
        let published: Vec<_> = policy.publish().iter().map(|port| (port.host_port, port.port)).collect();
        let listeners = published
            .iter()
            .map(|(port, _)| publish(*port, record.owner_uid))
            .collect::<Result<Vec<_>, _>>()?;
        let host = supervisor.network().map_err(StepError::Host)?;
        let sockets = netns::sockets(prepared.namespace.as_fd(), prepared.ipv6).map_err(GateError::from)?;
        let fixed = Fixed {
            gate_uid: lease_first + 2,
            ipv6: prepared.ipv6,
            published,
            upload_max: policy.upload_max(),
            name_upload_max: policy.name_upload_max(),
            on_loss: match policy.on_gate_loss() {
                OnGateLoss::Repair => OnLoss::Repair,
                OnGateLoss::Stop => OnLoss::Stop,
            },
        };
        let shared = Arc::new(SessionNetwork::new(
            record.id.clone(),
            record.owner_uid,
            fixed,
            policy.network_rules().clone(),
        ));
        shared.keep(directory)?;
        shared.tell_session(Denials::open(directory)?);
        let parts = Parts {
            namespace: prepared.namespace.try_clone()?,
            directory: directory.try_clone()?,
            group: group.try_clone()?,
            published: listeners,
        };
        let (started, connection) = parts.start(supervisor, &shared, Some(sockets))?;
        shared.gate_started(started.pid, Some(started.pidfd.try_clone()?), false);
        if let Some(store) = supervisor.store() {
            for ((port, _), listeners) in shared.fixed.published.iter().zip(&parts.published) {
                listeners.iter().for_each(|listener| store.keep(&store_name(&record.id, *port), listener));
            }
        }
        let (tell, ready) = oneshot::channel();
        let conversation = Conversation {
            supervisor: Arc::clone(supervisor),
            host,
            network: Arc::clone(&shared),
            parts,
            ready: Some(tell),
        };
        if let Some(session) = supervisor.session(&record.id) {
            session.set_network(Arc::clone(&shared));
        }
        Ok(Self {
            shared,
            namespace: prepared.namespace,
            conversation: tokio::spawn(conversation.run(Some(started), Some(connection))),
            ready: Some(ready),
        })
    }

    /// Takes over that of a session which an earlier supervisor started; none when it has no gate.
    pub(crate) fn adopt(
        supervisor: &Arc<Supervisor>,
        record: &Record,
        directory: &OwnedFd,
        group: &SessionGroup,
        init_pid: u32,
    ) -> Result<Option<Self>, String> {
        let Some(shared) = SessionNetwork::read(record.id.clone(), record.owner_uid, directory)? else {
            return Ok(None);
        };
        let text = |error: &dyn std::error::Error| error.to_string();
        let shared = Arc::new(shared);
        shared.tell_session(Denials::open(directory).map_err(|error| text(&error))?);
        let host = supervisor.network()?;
        let namespace = netns::of_process(init_pid).map_err(|error| text(&error))?;
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| error.to_string());
        let parts = Parts {
            namespace: copy(&namespace)?,
            directory: copy(directory)?,
            group: copy(&group.supervise)?,
            // The gate has the listeners; for another one they are here only if somebody has kept them.
            published: shared
                .fixed
                .published
                .iter()
                .map(|(port, _)| supervisor.store().map(|store| store.take(&store_name(&record.id, *port))))
                .map(Option::unwrap_or_default)
                .collect(),
        };
        // Nobody there: the conversation begins with a gate that is lost.
        let connection = gate::connect(directory).ok();
        let running = gate::adopt(group, shared.fixed.gate_uid).map_err(|error| text(&error))?;
        let pidfd = running.as_ref().map(|gate| copy(&gate.pidfd)).transpose()?;
        shared.gate_started(running.as_ref().map_or(0, |gate| gate.pid), pidfd, false);
        let conversation = Conversation {
            supervisor: Arc::clone(supervisor),
            host,
            network: Arc::clone(&shared),
            parts,
            ready: None,
        };
        let conversation = tokio::spawn(conversation.run(running, connection));
        Ok(Some(Self { shared, namespace, conversation, ready: None }))
    }

    /// What the rest of the supervisor sees of it.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The namespace, for the launcher.
    pub(super) fn namespace(&self) -> io::Result<OwnedFd> {
        self.namespace.try_clone()
    }

    /// Waits until the gate has given up its rights.
    pub(super) async fn ready(&mut self) -> Result<(), StepError> {
        let Some(ready) = self.ready.take() else { return Ok(()) };
        match tokio::time::timeout(READY_LIMIT, ready).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(what))) => Err(StepError::Host(format!("network gate: {what}"))),
            Ok(Err(_gone)) => Err(StepError::Host("the network gate has ended".to_owned())),
            Err(_elapsed) => Err(StepError::Host("the network gate does not answer".to_owned())),
        }
    }

    /// Ends the gate; the namespace ends with its last process.
    pub(super) async fn revert(self, supervisor: &Supervisor) -> Result<(), StepError> {
        self.conversation.abort();
        let _ = self.conversation.await;
        self.shared.write_rest(supervisor);
        if let Some(store) = supervisor.store() {
            let id = &self.shared.id;
            self.shared.fixed.published.iter().for_each(|(port, _)| store.forget(&store_name(id, *port)));
        }
        if let Some(host) = supervisor.network_if_open() {
            host.forget(self.shared.fixed.gate_uid);
        }
        if let Some(pidfd) = self.shared.take_gate() {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            let ended = watch(pidfd.try_clone()?, Interest::READABLE)?;
            let gone = tokio::time::timeout(GONE_LIMIT, ended.readable()).await;
            gone.map_err(|_elapsed| missing("an end of the network gate"))?.map(drop)?;
            Launcher { pid: 0, pidfd }.try_wait()?;
        }
        Ok(())
    }
}

/// Under which name the service manager keeps the listeners of a port.
fn store_name(id: &SessionId, port: u16) -> String {
    format!("publish-{id}-{port}")
}

/// Listens on a port of the host's loopback.
fn publish(port: u16, owner_uid: u32) -> Result<Vec<OwnedFd>, StepError> {
    if port < FIRST_FREE_PORT && owner_uid != 0 {
        return Err(StepError::Host(format!(
            "refused: port {port} of this host cannot be published\nrule: ports below {FIRST_FREE_PORT} are root's\n\
             publish another one: --publish 8080:{port}"
        )));
    }
    dial::listen_loopback(port).map_err(|error| {
        StepError::Host(format!(
            "port {port} of this host cannot be published: {error}\nchoose another one: --publish {}:{port}",
            port.saturating_add(1)
        ))
    })
}
