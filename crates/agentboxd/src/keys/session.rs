//! The ssh-agent of one session: what it may sign, and what it has signed.

use super::waiting::{AllWaiting, LIMIT, Waiting};
use super::words;
use crate::network::decisions::{Decisions, Entry, Kind};
use crate::network::denials::Denials;
use crate::supervisor::Supervisor;
use agentbox_ipc::Confirmation;
use agentbox_kernel::directory;
use agentbox_plan::keys::{Fingerprint, KeyReason, KeysPlan, KnownHost, Purpose};
use agentbox_plan::{Ids, SessionId};
use agentbox_policy::{Identity, OnGateLoss, Policy, SshAgent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Name of the state in the session's directory.
const FILE: &str = "ssh-agent";
/// Most bytes of it that are read.
const MAX_BYTES: usize = 1 << 20;
/// Place of the id of the gate of keys in a lease.
const IN_LEASE: u32 = 3;

/// What does not change about it, as it is kept for a later supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    gate_uid: u32,
    client_uid: u32,
    socket: String,
    keys: Vec<agentbox_policy::KeyFingerprint>,
    hosts: Vec<agentbox_policy::KnownKeys>,
    sign_git: bool,
    confirm: bool,
    #[serde(default)]
    stop_on_loss: bool,
}

/// A decision about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decided {
    pub(super) key: Option<Fingerprint>,
    pub(super) purpose: Option<Purpose>,
    /// None: it was signed.
    pub(super) reason: Option<KeyReason>,
}

impl Kind for Decided {
    fn is_refusal(&self) -> bool {
        self.reason.is_some()
    }
}

#[derive(Debug, Default)]
struct Changing {
    decisions: Decisions<Decided>,
    denials: Option<Denials>,
    waiting: AllWaiting,
    /// The process of the gate, for whoever ends it.
    gate: Option<OwnedFd>,
    /// It has ended before its session, and nobody was told yet.
    lost_untold: bool,
    lost: bool,
}

/// The ssh-agent of a session.
#[derive(Debug)]
pub(crate) struct SessionKeys {
    pub(crate) id: SessionId,
    pub(crate) owner_uid: u32,
    /// User and group id of its gate.
    pub(crate) gate_uid: u32,
    /// Path of the person's agent.
    pub(super) socket: String,
    client_uid: u32,
    keys: Vec<Fingerprint>,
    hosts: Vec<KnownHost>,
    sign_git: bool,
    pub(super) confirm: bool,
    /// Whether the session ends with its gate.
    pub(super) stop_on_loss: bool,
    changing: Mutex<Changing>,
    /// Told when another signature waits, and when the gate has ended.
    more_wait: Notify,
}

/// An ssh-agent that may be shared.
pub(crate) type Shared = Arc<SessionKeys>;

impl SessionKeys {
    /// Of a session that starts.
    pub(crate) fn new(
        id: SessionId,
        owner_uid: u32,
        policy: &Policy,
        agent: &SshAgent,
        lease_first: u32,
    ) -> Self {
        Self {
            id,
            owner_uid,
            gate_uid: lease_first + IN_LEASE,
            client_uid: match policy.identity() {
                Identity::Leased => lease_first,
                Identity::Caller => policy.person().uid,
            },
            socket: agent.socket.clone(),
            keys: agent.keys.clone(),
            hosts: agent.hosts.clone(),
            sign_git: agent.sign_git,
            confirm: agent.confirm,
            stop_on_loss: policy.on_gate_loss() == OnGateLoss::Stop,
            changing: Mutex::default(),
            more_wait: Notify::new(),
        }
    }

    /// Of a session that an earlier supervisor started; none when it has no ssh-agent.
    pub(crate) fn read(id: SessionId, owner_uid: u32, directory: impl AsFd) -> Result<Option<Self>, String> {
        let bytes = directory::read_file(&directory, FILE, MAX_BYTES).map_err(|error| error.to_string())?;
        bytes.map(|bytes| Self::parse(id, owner_uid, &bytes)).transpose()
    }

    pub(crate) fn parse(id: SessionId, owner_uid: u32, bytes: &[u8]) -> Result<Self, String> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|error| format!("{FILE}: {error}"))?;
        let hosts = kept.hosts.into_iter().map(|known| KnownHost {
            host: known.host.0,
            keys: known.keys.into_iter().map(|key| key.0).collect(),
        });
        Ok(Self {
            id,
            owner_uid,
            gate_uid: kept.gate_uid,
            client_uid: kept.client_uid,
            socket: kept.socket,
            keys: kept.keys.into_iter().map(|key| key.0).collect(),
            hosts: hosts.collect(),
            sign_git: kept.sign_git,
            confirm: kept.confirm,
            stop_on_loss: kept.stop_on_loss,
            changing: Mutex::default(),
            more_wait: Notify::new(),
        })
    }

    /// What the person is told at the start.
    pub(crate) fn banner(&self) -> String {
        let count = |number: usize, one: &str, more: &str| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {more}"),
        };
        let mut uses: Vec<_> = self.hosts.iter().map(|known| known.host.to_string()).collect();
        uses.extend(self.sign_git.then(|| "signatures of git".to_owned()));
        let keys = count(self.keys.len(), "key", "keys");
        let confirm = match self.confirm {
            true => format!(", each use to be confirmed outside: agentboxctl confirm {}", self.id),
            false => String::new(),
        };
        format!("ssh-agent with {keys} for {}{confirm}", uses.join(", "))
    }

    /// Writes what a later supervisor needs.
    pub(crate) fn keep(&self, directory: impl AsFd) -> Result<(), directory::DirectoryError> {
        directory::write_atomic(directory, FILE, &self.kept(), 0o600, false)
    }

    pub(crate) fn kept(&self) -> Vec<u8> {
        let hosts = self.hosts.iter().map(|known| agentbox_policy::KnownKeys {
            host: agentbox_policy::AgentHost(known.host.clone()),
            keys: known.keys.iter().cloned().map(agentbox_policy::KnownKey).collect(),
        });
        let kept = Kept {
            gate_uid: self.gate_uid,
            client_uid: self.client_uid,
            socket: self.socket.clone(),
            keys: self.keys.iter().copied().map(agentbox_policy::KeyFingerprint).collect(),
            hosts: hosts.collect(),
            sign_git: self.sign_git,
            confirm: self.confirm,
            stop_on_loss: self.stop_on_loss,
        };
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Takes the file that the session itself reads.
    pub(crate) fn tell_session(&self, denials: Denials) {
        self.lock().denials = Some(denials);
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan of its gate.
    pub(crate) fn plan(&self) -> KeysPlan {
        KeysPlan {
            session: self.id.clone(),
            ids: Ids { uid: self.gate_uid, gid: self.gate_uid, groups: Vec::new() },
            client_uid: self.client_uid,
            keys: self.keys.clone(),
            hosts: self.hosts.clone(),
            sign_git: self.sign_git,
        }
    }

    /// A gate runs.
    pub(crate) fn gate_started(&self, pidfd: Option<OwnedFd>) {
        self.lock().gate = pidfd;
    }

    /// The process of the gate, to be ended.
    pub(crate) fn take_gate(&self) -> Option<OwnedFd> {
        self.lock().gate.take()
    }

    /// The gate has ended before its session, which has no ssh-agent from then on: the trail, the session itself and
    /// whoever looks at it are told.
    pub(super) fn lose(&self, supervisor: &Supervisor) {
        let _ = self.audit(supervisor, json!({ "event": "keys-lost" }));
        let mut changing = self.lock();
        (changing.lost, changing.lost_untold) = (true, true);
        if let Some(denials) = &mut changing.denials {
            denials.write(json!({
                "key": null, "purpose": null, "host": null, "reason": "agent-ended", "why": words::LOST,
                "remedy": "start another session",
            }));
        }
        drop(changing);
        self.more_wait.notify_one();
    }

    /// Whether its gate has ended.
    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// What is to be told of that; once.
    pub(crate) fn take_loss(&self) -> Option<&'static str> {
        std::mem::take(&mut self.lock().lost_untold).then_some(words::LOST)
    }

    /// The second judgement: what the gate found to be permitted, held against what was permitted.
    pub(super) fn judge(&self, key: Fingerprint, purpose: Purpose) -> Result<(), KeyReason> {
        match purpose {
            _ if !self.keys.contains(&key) => Err(KeyReason::KeyNotListed),
            Purpose::Git if self.sign_git => Ok(()),
            Purpose::Git => Err(KeyReason::NotPermitted),
            Purpose::Login { host } if usize::from(host) < self.hosts.len() => Ok(()),
            Purpose::Login { .. } => Err(KeyReason::OtherHost),
        }
    }

    /// Asks the person, who has [`LIMIT`].
    pub(super) async fn ask(&self, key: Fingerprint, purpose: Purpose) -> Result<(), KeyReason> {
        let (number, answered) = self.lock().waiting.add(key, purpose);
        self.more_wait.notify_one();
        match tokio::time::timeout(LIMIT, answered).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(KeyReason::Declined),
            Err(_elapsed) => {
                self.lock().waiting.remove(number);
                Err(KeyReason::NoAnswer)
            }
        }
    }

    /// Waits until another signature waits for the person, or the gate has ended. Cancel safe.
    pub(crate) async fn more_wait(&self) {
        self.more_wait.notified().await;
    }

    /// What waits for the person.
    pub(crate) fn waiting(&self) -> Vec<Confirmation> {
        let told = |(number, waiting): (u64, &Waiting)| Confirmation {
            session: self.id.to_string(),
            number,
            key: waiting.key.to_string(),
            purpose: words::purpose(waiting.purpose).to_owned(),
            host: self.host(waiting.purpose),
            left_s: waiting.left().as_secs(),
        };
        self.lock().waiting.iter().map(told).collect()
    }

    /// The person's word; false when nothing of that number waits any more.
    pub(crate) fn answer(&self, supervisor: &Supervisor, number: u64, accept: bool, caller_uid: u32) -> bool {
        let answered = self.lock().waiting.answer(number, accept);
        let Some((key, purpose)) = answered else { return false };
        let event = if accept { "sign-confirmed" } else { "sign-declined" };
        let mut event = self.event(event, Some(key), Some(purpose));
        event["caller_uid"] = caller_uid.into();
        let _ = self.audit(supervisor, event);
        true
    }

    fn host(&self, purpose: Purpose) -> Option<String> {
        match purpose {
            Purpose::Login { host } => self.hosts.get(usize::from(host)).map(|known| known.host.to_string()),
            Purpose::Git => None,
        }
    }

    fn event(&self, event: &str, key: Option<Fingerprint>, purpose: Option<Purpose>) -> Value {
        json!({
            "event": event,
            "key": key.map(|key| key.to_string()),
            "purpose": purpose.map(words::purpose),
            "host": purpose.and_then(|purpose| self.host(purpose)),
        })
    }

    /// Counts a decision and writes what is to be written now. What cannot be written is not signed.
    pub(super) fn decided(&self, supervisor: &Supervisor, decided: Decided) -> Result<(), KeyReason> {
        let entries = self.lock().decisions.note(Instant::now(), decided);
        entries.into_iter().try_for_each(|entry| self.write(supervisor, entry))
    }

    /// Writes what was counted in windows that have ended.
    pub(super) fn write_due(&self, supervisor: &Supervisor) {
        let due = self.lock().decisions.due(Instant::now());
        for entry in due {
            let _ = self.write(supervisor, entry);
        }
    }

    /// Writes all that was counted.
    pub(crate) fn write_rest(&self, supervisor: &Supervisor) {
        let rest = self.lock().decisions.rest();
        for entry in rest {
            let _ = self.write(supervisor, entry);
        }
    }

    fn write(
        &self,
        supervisor: &Supervisor,
        Entry { decided, count }: Entry<Decided>,
    ) -> Result<(), KeyReason> {
        let Some(Decided { key, purpose, reason }) = decided else {
            return self.audit(supervisor, json!({ "event": "sign-others", "count": count }));
        };
        let name = if reason.is_some() { "sign-refused" } else { "sign-allowed" };
        let mut event = self.event(name, key, purpose);
        event["count"] = count.into();
        if let Some(reason) = reason {
            event["reason"] = reason.as_str().into();
            let line = json!({
                "key": event["key"], "purpose": event["purpose"], "host": event["host"],
                "reason": reason.as_str(), "why": reason.to_string(),
                "remedy": words::remedy(self.id.as_str(), reason),
            });
            if let Some(denials) = &mut self.lock().denials {
                denials.write(line);
            }
        }
        self.audit(supervisor, event)
    }

    /// Writes an event of this session.
    pub(super) fn audit(&self, supervisor: &Supervisor, event: Value) -> Result<(), KeyReason> {
        let written = supervisor.audit().record_of(&self.id, self.owner_uid, event);
        written.map_err(|_logged| KeyReason::SupervisorAway)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use agentbox_plan::keys::HostKey;

    const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    pub(in crate::keys) fn keys(sign_git: bool) -> SessionKeys {
        let key: HostKey = HOST_KEY.parse().unwrap();
        SessionKeys {
            id: "abc".parse().unwrap(),
            owner_uid: 1000,
            gate_uid: 7,
            socket: "/run/agent".into(),
            client_uid: 4,
            keys: vec![Fingerprint([1; 32])],
            hosts: vec![KnownHost { host: "a.org".parse().unwrap(), keys: vec![key] }],
            sign_git,
            confirm: true,
            stop_on_loss: false,
            changing: Mutex::default(),
            more_wait: Notify::new(),
        }
    }

    #[test]
    fn what_a_gate_says_is_judged_again() {
        let (key, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let login = |host| Purpose::Login { host };
        for (sign_git, key, purpose, judged) in [
            (false, key, login(0), Ok(())),
            (true, key, Purpose::Git, Ok(())),
            (false, key, Purpose::Git, Err(KeyReason::NotPermitted)),
            (true, key, login(1), Err(KeyReason::OtherHost)),
            (true, other, login(0), Err(KeyReason::KeyNotListed)),
            (true, other, Purpose::Git, Err(KeyReason::KeyNotListed)),
        ] {
            assert_eq!(keys(sign_git).judge(key, purpose), judged, "{key} {purpose:?}");
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_what_cannot_be_understood_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        let id = || "abc".parse().unwrap();
        assert!(SessionKeys::read(id(), 1000, &directory).unwrap().is_none());
        let kept = keys(true);
        kept.keep(&directory).unwrap();
        let read = SessionKeys::read(id(), 1000, &directory).unwrap().unwrap();
        assert_eq!((read.plan(), &read.socket, read.confirm), (kept.plan(), &kept.socket, true));
        std::fs::write(place.path().join(FILE), "{\"gate_uid\":1}").unwrap();
        assert!(SessionKeys::read(id(), 1000, &directory).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_who_says_nothing_for_a_minute_has_said_no() {
        let keys = keys(true);
        let begun = tokio::time::Instant::now();
        let asked = keys.ask(Fingerprint([1; 32]), Purpose::Git).await;
        assert_eq!((asked, begun.elapsed().as_secs()), (Err(KeyReason::NoAnswer), LIMIT.as_secs()));
        assert!(keys.waiting().is_empty());
        // It was told that something waited.
        keys.more_wait().await;
    }
}
