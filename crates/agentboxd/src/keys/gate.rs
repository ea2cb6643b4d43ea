//! The conversation with a gate of keys.
//!
//! The gate reads what the session says, so it is believed no more than the session: what it wants signed is
//! judged again, written down and confirmed here, and connections to the person's agent are few and are the
//! person's own. A gate that ends is not replaced: the session has no ssh-agent from then on.

use super::reach::{self, Rate};
use super::session::{Decided, Shared};
use crate::descriptor::watch;
use crate::network::gate::{GateError, end, say};
use crate::supervisor::Supervisor;
use agentbox_kernel::launcher::Launcher;
use agentbox_kernel::person::Person;
use agentbox_plan::Wire;
use agentbox_plan::keys::{KeyReason, KeysAnswer, KeysRequest, MAX_CLIENTS, MAX_MESSAGE_BYTES};
use serde_json::json;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A killed process is gone in milliseconds.
const GONE_LIMIT: Duration = Duration::from_secs(5);
/// How often counted decisions are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What a task has to say to the gate.
type Said = (KeysAnswer, Option<OwnedFd>);

/// The task that talks to a session's gate of keys.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) keys: Shared,
    /// Whose agent it is.
    pub(crate) person: Person,
    /// The control group of the session's gates.
    pub(crate) group: OwnedFd,
    /// Told when the gate is confined, or why it is not.
    pub(crate) ready: Option<oneshot::Sender<Result<(), String>>>,
}

impl Conversation {
    /// Talks to the gate until it ends.
    pub(crate) async fn run(mut self, gate: Option<Launcher>, connection: Option<OwnedFd>) {
        let mut why = "the gate of keys ended before it was ready".to_owned();
        if let Some(connection) = connection
            && let Err(error) = self.converse(connection).await
        {
            tracing::warn!("{}: {error}", self.keys.id);
            if let GateError::Failed(what) = error {
                why = what;
            }
        }
        if let Some(gate) = gate {
            let _ = tokio::time::timeout(GONE_LIMIT, end(gate)).await;
        }
        match self.ready.take() {
            Some(ready) => drop(ready.send(Err(why))),
            None => {
                self.keys.lose(&self.supervisor);
                if self.keys.stop_on_loss {
                    self.supervisor.stop_for_lost_gate(&self.keys.id);
                }
            }
        }
    }

    async fn converse(&mut self, connection: OwnedFd) -> Result<(), GateError> {
        rustix::io::ioctl_fionbio(&connection, true).map_err(io::Error::from)?;
        let connection = watch(connection, Interest::READABLE | Interest::WRITABLE)?;
        let (mut tasks, mut rate) = (JoinSet::new(), Rate::default());
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                ready = connection.readable() => {
                    let Ok(received) = ready?.try_io(|connection| receive(connection.get_ref())) else { continue };
                    let Some(request) = received? else { return Ok(()) };
                    if let Some((answer, socket)) = self.serve(request, &mut tasks, &mut rate)? {
                        say(&connection, &answer, socket.as_ref()).await?;
                    }
                }
                Some(said) = tasks.join_next() => match said {
                    Ok((answer, socket)) => say(&connection, &answer, socket.as_ref()).await?,
                    Err(error) => tracing::error!("{}: {error}", self.keys.id),
                },
                _ = tick.tick() => self.keys.write_due(&self.supervisor),
            }
        }
    }

    /// Answers at once, or begins what will have an answer.
    fn serve(
        &mut self,
        request: KeysRequest,
        tasks: &mut JoinSet<Said>,
        rate: &mut Rate,
    ) -> Result<Option<Said>, GateError> {
        let refused = |number, reason| Some((KeysAnswer::Refused { number, reason }, None));
        Ok(match request {
            KeysRequest::Ready => {
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(()));
                }
                None
            }
            KeysRequest::Failed { step, detail } => {
                let what = format!("{step}: {detail}");
                // As of a gate of the network: told of a start that waits for it, and its last word.
                if self.ready.is_some() {
                    let failed = json!({ "event": "failed", "step": "gate of keys", "what": what });
                    let _ = self.keys.audit(&self.supervisor, failed);
                }
                return Err(GateError::Failed(what));
            }
            KeysRequest::Refused { key, purpose, reason } => {
                let decided = Decided { key, purpose, reason: Some(reason) };
                let _ = self.keys.decided(&self.supervisor, decided);
                None
            }
            KeysRequest::Connect { number } | KeysRequest::Sign { number, .. }
                if tasks.len() >= MAX_CLIENTS =>
            {
                refused(number, KeyReason::TooMany)
            }
            KeysRequest::Connect { number } if !rate.take(Instant::now()) => {
                refused(number, KeyReason::TooMany)
            }
            KeysRequest::Connect { number } => match self.group.try_clone() {
                Err(_) => refused(number, KeyReason::AgentAway),
                Ok(group) => {
                    let (person, path) = (self.person.clone(), self.keys.socket.clone());
                    let id = self.keys.id.clone();
                    tasks.spawn(async move {
                        match reach::connect(person, path, group).await {
                            Ok(agent) => (KeysAnswer::Socket { number }, Some(agent)),
                            Err(error) => {
                                tracing::warn!("{id}: {error}");
                                (KeysAnswer::Refused { number, reason: KeyReason::AgentAway }, None)
                            }
                        }
                    });
                    None
                }
            },
            KeysRequest::Sign { number, key, purpose } => {
                let (keys, supervisor) = (Arc::clone(&self.keys), Arc::clone(&self.supervisor));
                let sign = async move {
                    let allowed = match keys.judge(key, purpose) {
                        Ok(()) if keys.confirm => keys.ask(key, purpose).await,
                        judged => judged,
                    };
                    let decided = Decided { key: Some(key), purpose: Some(purpose), reason: allowed.err() };
                    let written = keys.decided(&supervisor, decided);
                    match allowed.and(written) {
                        Ok(()) => (KeysAnswer::Granted { number }, None),
                        Err(reason) => (KeysAnswer::Refused { number, reason }, None),
                    }
                };
                tasks.spawn(sign);
                None
            }
        })
    }
}

/// The next request; none when the gate is gone.
fn receive(connection: &OwnedFd) -> io::Result<Option<KeysRequest>> {
    let mut bytes = [0; MAX_MESSAGE_BYTES];
    let (filled, whole) = rustix::net::recv(connection, &mut bytes[..], rustix::net::RecvFlags::TRUNC)?;
    if filled == 0 {
        return Ok(None);
    }
    if whole > MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    KeysRequest::from_bytes(&bytes[..filled])
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

    #[tokio::test]
    async fn a_gate_of_keys_that_fails_says_so_once() {
        for starts in [true, false] {
            let place = tempfile::tempdir().unwrap();
            let supervisor = Arc::new(Supervisor::in_directory(place.path()));
            let (tell, told) = oneshot::channel();
            let person = Person {
                uid: 1000,
                gid: 1000,
                groups: vec![1000],
                name: "ada".into(),
                home: "/home/ada".into(),
                shell: "/bin/sh".into(),
            };
            let conversation = Conversation {
                supervisor,
                keys: Arc::new(super::super::session::tests::keys(true)),
                person,
                group: std::fs::File::open(place.path()).unwrap().into(),
                ready: starts.then_some(tell),
            };
            let (ours, theirs) = rustix::net::socketpair(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            for _ in 0..50 {
                let failed = KeysRequest::Failed { step: "seccomp".into(), detail: "no".into() };
                rustix::net::send(&theirs, &failed.to_bytes(), SendFlags::empty()).unwrap();
            }
            let _ = tokio::time::timeout(GONE_LIMIT, conversation.run(None, Some(ours))).await;
            drop(theirs);
            let why = told.await.ok().and_then(Result::err);
            assert_eq!(why, starts.then(|| "seccomp: no".to_owned()));
            let trail = std::fs::read_to_string(place.path().join("logs/audit.jsonl")).unwrap_or_default();
            assert_eq!(trail.matches("\"failed\"").count(), usize::from(starts), "{trail}");
            assert_eq!(trail.matches("\"keys-lost\"").count(), usize::from(!starts), "{trail}");
        }
    }
}
