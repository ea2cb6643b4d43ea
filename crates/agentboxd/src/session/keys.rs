//! The steps of a session's ssh-agent: socket and gate made, confined before anything runs, and ended.

use super::order::{Order, Record};
use super::steps::{StepError, missing};
use crate::descriptor::watch;
use crate::keys::SessionKeys;
use crate::keys::gate::Conversation;
use crate::keys::session::Shared;
use crate::network::denials::Denials;
use crate::supervisor::Supervisor;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_kernel::launcher::Launcher;
use agentbox_kernel::{gate, keys, person};
use agentbox_plan::Wire;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// As for a gate of the network.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// After SIGKILL.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// What a session holds of its ssh-agent.
#[derive(Debug)]
pub(crate) struct Keys {
    shared: Shared,
    conversation: JoinHandle<()>,
    ready: Option<oneshot::Receiver<Result<(), String>>>,
}

impl Keys {
    /// Makes the socket and starts the gate; none for a session without an ssh-agent.
    pub(super) fn make(
        supervisor: &Arc<Supervisor>,
        record: &Record,
        order: &Order,
        lease_first: u32,
        directory: &OwnedFd,
        group: &OwnedFd,
    ) -> Result<Option<Self>, StepError> {
        let Some(agent) = order.policy.ssh_agent() else { return Ok(None) };
        let (id, owner) = (record.id.clone(), record.owner_uid);
        let shared = Arc::new(SessionKeys::new(id, owner, &order.policy, agent, lease_first));
        shared.keep(directory)?;
        shared.tell_session(Denials::open(directory)?);
        let program = gate::find_program()?;
        let listen = |made: Result<OwnedFd, gate::GateSocketError>| {
            made.map_err(|error| StepError::Host(format!("gate of keys: {error}")))
        };
        let started = keys::spawn(keys::Spawn {
            program: &program,
            plan: &shared.plan().to_bytes(),
            supervisor: listen(keys::listen(directory))?,
            agent: listen(keys::listen_agent(directory))?,
            supervise_group: group,
            environment: supervisor.launcher_environment(),
        })?;
        shared.gate_started(Some(started.pidfd.try_clone()?));
        let connection = listen(keys::connect(directory))?;
        let (tell, ready) = oneshot::channel();
        let conversation = Conversation {
            supervisor: Arc::clone(supervisor),
            keys: Arc::clone(&shared),
            person: order.person.clone(),
            group: group.try_clone()?,
            ready: Some(tell),
        };
        if let Some(session) = supervisor.session(&record.id) {
            session.set_keys(Arc::clone(&shared));
        }
        let conversation = tokio::spawn(conversation.run(Some(started), Some(connection)));
        Ok(Some(Self { shared, conversation, ready: Some(ready) }))
    }

    /// Takes over that of a session which an earlier supervisor started; none when it has none.
    pub(crate) fn adopt(
        supervisor: &Arc<Supervisor>,
        record: &Record,
        directory: &OwnedFd,
        group: &SessionGroup,
    ) -> Result<Option<Self>, String> {
        let Some(shared) = SessionKeys::read(record.id.clone(), record.owner_uid, directory)? else {
            return Ok(None);
        };
        let text = |error: &dyn std::error::Error| error.to_string();
        let shared = Arc::new(shared);
        shared.tell_session(Denials::open(directory).map_err(|error| text(&error))?);
        let person = person::by_uid(record.owner_uid).map_err(|error| text(&error))?;
        let person = person.ok_or_else(|| format!("user id {} is no account any more", record.owner_uid))?;
        // Nobody there: the session goes on without an ssh-agent.
        let connection = keys::connect(directory).ok();
        let running = keys::adopt(group, shared.gate_uid).map_err(|error| text(&error))?;
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| error.to_string());
        shared.gate_started(running.as_ref().map(|gate| copy(&gate.pidfd)).transpose()?);
        let conversation = Conversation {
            supervisor: Arc::clone(supervisor),
            keys: Arc::clone(&shared),
            person,
            group: copy(&group.supervise)?,
            ready: None,
        };
        if let Some(session) = supervisor.session(&record.id) {
            session.set_keys(Arc::clone(&shared));
        }
        let conversation = tokio::spawn(conversation.run(running, connection));
        Ok(Some(Self { shared, conversation, ready: None }))
    }

    /// What is to be told of a gate that has ended; once.
    pub(super) fn take_loss(&self) -> Option<&'static str> {
        self.shared.take_loss()
    }

    /// Waits until another signature waits for the person, or the gate has ended. Cancel safe.
    pub(super) async fn more_wait(&self) {
        self.shared.more_wait().await;
    }

    /// Waits until the gate has given up its rights.
    pub(super) async fn ready(&mut self) -> Result<(), StepError> {
        let Some(ready) = self.ready.take() else { return Ok(()) };
        match tokio::time::timeout(READY_LIMIT, ready).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(what))) => Err(StepError::Host(format!("gate of keys: {what}"))),
            Ok(Err(_gone)) => Err(StepError::Host("the gate of keys has ended".to_owned())),
            Err(_elapsed) => Err(StepError::Host("the gate of keys does not answer".to_owned())),
        }
    }

    /// Ends the gate, and with it every connection to the person's agent.
    pub(super) async fn revert(self, supervisor: &Supervisor) -> Result<(), StepError> {
        self.conversation.abort();
        let _ = self.conversation.await;
        self.shared.write_rest(supervisor);
        if let Some(pidfd) = self.shared.take_gate() {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            let ended = watch(pidfd.try_clone()?, Interest::READABLE)?;
            let gone = tokio::time::timeout(GONE_LIMIT, ended.readable()).await;
            gone.map_err(|_elapsed| missing("an end of the gate of keys"))?.map(drop)?;
            Launcher { pid: 0, pidfd }.try_wait()?;
        }
        Ok(())
    }
}
