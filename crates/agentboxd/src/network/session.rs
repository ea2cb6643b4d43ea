//! The network of one session: what it may reach and what it has reached.
//!
//! What has to outlive a supervisor is kept in the session's directory: the rules with those that were added
//! while it ran, and what was sent so far.

use super::decisions::{Decided, Decisions, Entry};
use super::denials::Denials;
use super::totals::{self, Total, Totals};
use crate::supervisor::Supervisor;
use agentbox_kernel::directory;
use agentbox_plan::gate::{GateLimits, GatePlan, HOST_NAMES, Sent};
use agentbox_plan::net::{
    Destination, HostName, HostNameError, Mode, Reason, Refused, Rule, Rules, Translator, Translators,
    Verdict,
};
use agentbox_plan::{Ids, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Name of the state in the session's directory.
const FILE: &str = "network";
/// Most bytes of it that are read.
const MAX_BYTES: usize = 4 << 20;
/// Connections of a session at once. A browser makes a few hundred; each costs the gate some kilobytes.
const MAX_CONNECTIONS: u32 = 12_000;
/// Names that have a synthetic address at once.
const MAX_NAMES: u32 = 4096;

/// What becomes of a session whose gate is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnLoss {
    /// It gets another one.
    Repair,
    /// It is stopped.
    Stop,
}

/// What does not change about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fixed {
    /// User and group id of its gate.
    pub(crate) gate_uid: u32,
    /// Whether it has IPv6.
    pub(crate) ipv6: bool,
    /// Port on the host and port inside.
    pub(crate) published: Vec<(u16, u16)>,
    /// Most bytes that it sends.
    pub(crate) upload_max: Option<u64>,
    /// Most bytes that it sends to one name.
    pub(crate) name_upload_max: Option<u64>,
    /// What becomes of it when its gate is lost.
    pub(crate) on_loss: OnLoss,
}

/// A rule, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRule {
    allow: bool,
    target: String,
    internal: bool,
    origin: String,
    /// When it ends, in milliseconds since 1970.
    until: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    fixed: Fixed,
    public: bool,
    rules: Vec<KeptRule>,
    /// Prefixes by which the host's networks translate.
    #[serde(default)]
    translators: Vec<String>,
    #[serde(default)]
    totals: totals::Kept,
}

/// A rule and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) rule: Rule,
    pub(super) until: Option<SystemTime>,
}

#[derive(Debug)]
struct Changing {
    mode: Mode,
    rules: Vec<Timed>,
    /// What its gates have heard of the host's networks. One gate does not take back what another has said, and
    /// what one says holds for no other session.
    translators: Translators,
    totals: Totals,
    /// They are others than those that were kept.
    has_moved: bool,
    decisions: Decisions,
    denials: Option<Denials>,
    gate_pid: u32,
    /// The process of the gate, for whoever ends it.
    gate: Option<OwnedFd>,
    restarts: u32,
}

/// A session's network.
#[derive(Debug)]
pub(crate) struct SessionNetwork {
    pub(crate) id: SessionId,
    pub(crate) owner_uid: u32,
    pub(crate) fixed: Fixed,
    changing: Mutex<Changing>,
    /// Told when the gate has to learn of other rules.
    pub(crate) rules_changed: Notify,
}

/// A destination as people read it. Names and addresses need no escaping by their types.
pub(crate) fn shown(destination: &Destination) -> String {
    match destination {
        Destination::Name { name } => name.to_string(),
        Destination::Address { address } => address.to_string(),
        Destination::HostLoopback => "host".to_owned(),
    }
}

/// The destination that [`shown`] shows so. Compared as a name: `Host` and `host.` are shown as `host`, and mean it.
pub(crate) fn destination(text: &str) -> Result<Destination, HostNameError> {
    if let Ok(address) = text.parse() {
        return Ok(Destination::Address { address });
    }
    let name: HostName = text.parse()?;
    Ok(match HOST_NAMES.contains(&name.as_str()) {
        true => Destination::HostLoopback,
        false => Destination::Name { name },
    })
}

impl SessionNetwork {
    /// Of a session that starts.
    pub(crate) fn new(id: SessionId, owner_uid: u32, fixed: Fixed, rules: Rules) -> Self {
        let timed = rules.rules.into_iter().map(|rule| Timed { rule, until: None }).collect();
        Self::with(id, owner_uid, fixed, rules.mode, timed, Totals::default())
    }

    fn with(
        id: SessionId,
        owner_uid: u32,
        fixed: Fixed,
        mode: Mode,
        rules: Vec<Timed>,
        totals: Totals,
    ) -> Self {
        let changing = Changing {
            mode,
            rules,
            translators: Translators::none(),
            totals,
            has_moved: false,
            decisions: Decisions::default(),
            denials: None,
            gate_pid: 0,
            gate: None,
            restarts: 0,
        };
        Self { id, owner_uid, fixed, changing: Mutex::new(changing), rules_changed: Notify::new() }
    }

    /// Of a session that an earlier supervisor started; none when it has no gate.
    pub(crate) fn read(id: SessionId, owner_uid: u32, directory: impl AsFd) -> Result<Option<Self>, String> {
        let bytes = directory::read_file(&directory, FILE, MAX_BYTES).map_err(|error| error.to_string())?;
        bytes.map(|bytes| Self::parse(id, owner_uid, &bytes)).transpose()
    }

    pub(crate) fn parse(id: SessionId, owner_uid: u32, bytes: &[u8]) -> Result<Self, String> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|error| format!("{FILE}: {error}"))?;
        let mut rules = Vec::new();
        for kept in kept.rules {
            let target = kept.target.parse().map_err(|error| format!("{FILE}: {}: {error}", kept.target))?;
            let verdict = if kept.allow { Verdict::Allow } else { Verdict::Deny };
            rules.push(Timed {
                rule: Rule { verdict, target, internal: kept.internal, origin: kept.origin },
                until: kept.until.map(|until| UNIX_EPOCH + std::time::Duration::from_millis(until)),
            });
        }
        let mode = if kept.public { Mode::Public } else { Mode::Allowlist };
        let totals = Totals::read(kept.totals).map_err(|error| format!("{FILE}: {error}"))?;
        let network = Self::with(id, owner_uid, kept.fixed, mode, rules, totals);
        let translators = kept.translators.iter().map(|prefix| {
            let translator = prefix.parse().ok().and_then(Translator::new);
            translator.ok_or_else(|| format!("{FILE}: {}: no prefix of a translator", prefix.escape_debug()))
        });
        network.translates(translators.collect::<Result<_, _>>()?);
        Ok(network)
    }

    /// Writes what a later supervisor needs.
    pub(crate) fn keep(&self, directory: impl AsFd) -> Result<(), directory::DirectoryError> {
        directory::write_atomic(directory, FILE, &self.kept(), 0o600, false)
    }

    /// Writes it when more was sent or refused since.
    pub(super) fn keep_totals(&self, directory: impl AsFd) {
        // The lock is free again by then.
        let has_moved = std::mem::take(&mut self.lock().has_moved);
        if has_moved {
            self.keep_or_tell(directory);
        }
    }

    /// Writes it, or says why not: the session goes on.
    pub(super) fn keep_or_tell(&self, directory: impl AsFd) {
        if let Err(error) = self.keep(directory) {
            tracing::error!("{}: {error}", self.id);
        }
    }

    pub(crate) fn kept(&self) -> Vec<u8> {
        let changing = self.lock();
        let rules = changing.rules.iter().map(|timed| KeptRule {
            allow: timed.rule.verdict == Verdict::Allow,
            target: timed.rule.target.to_string(),
            internal: timed.rule.internal,
            origin: timed.rule.origin.clone(),
            until: timed.until.map(|until| {
                let since = until.duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }),
        });
        let kept = Kept {
            fixed: self.fixed.clone(),
            public: changing.mode == Mode::Public,
            rules: rules.collect(),
            translators: changing.translators.known().iter().map(|it| it.prefix().to_string()).collect(),
            totals: changing.totals.kept(),
        };
        drop(changing);
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Takes the file that the session itself reads.
    pub(crate) fn tell_session(&self, denials: Denials) {
        self.lock().denials = Some(denials);
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules of now.
    pub(crate) fn rules(&self) -> Rules {
        let changing = self.lock();
        let now = SystemTime::now();
        let valid = changing.rules.iter().filter(|timed| timed.until.is_none_or(|until| until > now));
        Rules { mode: changing.mode, rules: valid.map(|timed| timed.rule.clone()).collect() }
    }

    /// The translators of the host's networks so far.
    pub(crate) fn translators(&self) -> Translators {
        self.lock().translators.clone()
    }

    /// The network translates by these as well; says whether that is new.
    pub(super) fn translates(&self, translators: Vec<Translator>) -> bool {
        let mut changing = self.lock();
        translators.into_iter().filter(|translator| changing.translators.add(*translator)).count() > 0
    }

    /// Adds a rule or replaces the end of an equal one; tells the gate.
    pub(super) fn add(&self, rule: Rule, until: Option<SystemTime>) {
        let mut changing = self.lock();
        // The newest word about a target counts.
        changing.rules.retain(|timed| timed.rule.target != rule.target || !super::live::is_live(&timed.rule));
        changing.rules.push(Timed { rule, until });
        drop(changing);
        self.rules_changed.notify_one();
    }

    /// From now on this holds where no rule says anything, and these rules hold no more; tells the gate.
    pub(super) fn narrow(&self, mode: Mode, withdrawn: &[Rule]) {
        let mut changing = self.lock();
        changing.mode = mode;
        changing.rules.retain(|timed| !withdrawn.contains(&timed.rule));
        drop(changing);
        self.rules_changed.notify_one();
    }

    /// Forgets rules that have ended; says which.
    pub(super) fn expire(&self) -> Vec<Rule> {
        let (mut ended, now) = (Vec::new(), SystemTime::now());
        self.lock().rules.retain(|timed| {
            let is_over = timed.until.is_some_and(|until| until <= now);
            if is_over {
                ended.push(timed.rule.clone());
            }
            !is_over
        });
        if !ended.is_empty() {
            self.rules_changed.notify_one();
        }
        ended
    }

    /// The plan of a gate for it.
    pub(crate) fn gate_plan(&self) -> GatePlan {
        let rules = self.rules();
        let changing = self.lock();
        let id = self.fixed.gate_uid;
        GatePlan {
            session: self.id.clone(),
            ids: Ids { uid: id, gid: id, groups: Vec::new() },
            rules,
            ipv6: self.fixed.ipv6,
            limits: GateLimits {
                upload_max: self.fixed.upload_max,
                name_upload_max: self.fixed.name_upload_max,
                connections: MAX_CONNECTIONS,
                names: MAX_NAMES,
            },
            sent: changing.totals.sent(),
            sent_in_all: changing.totals.whole().sent,
            published: self.fixed.published.iter().map(|(_, inside)| *inside).collect(),
        }
    }

    /// A gate runs; none of which is known when the pid is 0.
    pub(crate) fn gate_started(&self, pid: u32, pidfd: Option<OwnedFd>, is_restart: bool) -> u32 {
        let mut changing = self.lock();
        changing.gate_pid = pid;
        changing.gate = pidfd;
        changing.restarts += u32::from(is_restart);
        changing.restarts
    }

    /// The process of the gate, to be ended.
    pub(crate) fn take_gate(&self) -> Option<OwnedFd> {
        self.lock().gate.take()
    }

    /// Adds to what was sent.
    pub(super) fn used(&self, sent: Sent) {
        let mut changing = self.lock();
        changing.totals.used(sent);
        changing.has_moved = true;
    }

    /// Whether one more place may be reached: where something went is written, so that may not be without a bound.
    pub(super) fn may_reach(&self, to: &Destination, port: u16) -> Result<(), Reason> {
        let is_same = |open: &Decided| open.destination == *to && open.port == port;
        let has_line = self.lock().decisions.has_line(Instant::now(), is_same);
        if has_line { Ok(()) } else { Err(Reason::ManyDestinations) }
    }

    /// Counts a decision and writes what is to be written now. Says whether it may be true: a gate cannot have made more
    /// connections than it may have at once, beyond those that there was room for in the trail.
    #[must_use]
    pub(super) fn decided(&self, supervisor: &Supervisor, decided: Decided) -> bool {
        let mut changing = self.lock();
        if decided.reason.is_some() {
            changing.totals.refused(&decided.destination);
            changing.has_moved = true;
        }
        let now = Instant::now();
        if decided.reason.is_none() && changing.decisions.owed(now) > MAX_CONNECTIONS.into() {
            return false;
        }
        let entries = changing.decisions.note(now, decided);
        drop(changing);
        self.write(supervisor, entries);
        true
    }

    /// Writes what was counted in windows that have ended.
    pub(super) fn write_due(&self, supervisor: &Supervisor) {
        let due = self.lock().decisions.due(Instant::now());
        self.write(supervisor, due);
    }

    /// Writes all that was counted, and how much went where: the session ends.
    pub(crate) fn write_rest(&self, supervisor: &Supervisor) {
        let mut changing = self.lock();
        let (rest, totals, others) =
            (changing.decisions.rest(), changing.totals.each(), changing.totals.others());
        drop(changing);
        self.write(supervisor, rest);
        let reached = totals.into_iter().filter(|(_, total)| total.sent > 0 || total.received > 0);
        let told = reached.map(|(destination, total)| (Some(shown(&destination)), total));
        let others = (others.sent > 0 || others.received > 0).then_some((None, others));
        for (destination, total) in told.chain(others) {
            self.audit(
                supervisor,
                json!({
                    "event": "net-total", "destination": destination,
                    "sent_bytes": total.sent, "received_bytes": total.received,
                }),
            );
        }
    }

    fn write(&self, supervisor: &Supervisor, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let rules = self.rules();
        for Entry { decided, count } in entries {
            let Some(decided) = decided else {
                self.audit(supervisor, json!({ "event": "net-others", "count": count }));
                continue;
            };
            let rule = decided.rule.and_then(|at| rules.rules.get(at as usize));
            let mut event = json!({
                "event": if decided.reason.is_some() { "net-denied" } else { "net-allowed" },
                "destination": shown(&decided.destination),
                "port": decided.port,
                "rule": rule.map(|rule| rule.target.to_string()),
                "origin": rule.map(|rule| rule.origin.clone()),
                "other": decided.other.as_ref().map(ToString::to_string),
                "count": count,
            });
            if let Some(reason) = decided.reason {
                event["reason"] = reason.as_str().into();
                let Decided { destination, port, other, .. } = &decided;
                let refused = Refused { destination, port: *port, reason, rule, other: other.as_ref() };
                let remedy = refused.remedy(self.id.as_str());
                if let Some(denials) = &mut self.lock().denials {
                    denials.append(&decided, rule, &remedy);
                }
            }
            self.audit(supervisor, event);
        }
    }

    /// Writes an event of this session.
    pub(super) fn audit(&self, supervisor: &Supervisor, event: Value) {
        let _logged = supervisor.audit().record_of(&self.id, self.owner_uid, event);
    }

    /// All together, and each destination with the most traffic first.
    pub(crate) fn totals(&self) -> (Total, Vec<(Destination, Total)>) {
        let changing = self.lock();
        (changing.totals.whole(), changing.totals.each())
    }

    /// Process id of the gate, 0 when it is not known; how often it was replaced.
    pub(crate) fn gate(&self) -> (u32, u32) {
        let changing = self.lock();
        (changing.gate_pid, changing.restarts)
    }
}

/// A network that may be shared.
pub(crate) type Shared = Arc<SessionNetwork>;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::network) fn network() -> SessionNetwork {
        let fixed = Fixed {
            gate_uid: 7,
            ipv6: true,
            published: vec![(8080, 3000)],
            upload_max: Some(9),
            name_upload_max: None,
            on_loss: OnLoss::Repair,
        };
        let rule = Rule {
            verdict: Verdict::Allow,
            target: "a.org:22".parse().unwrap(),
            internal: true,
            origin: "agentbox.toml: allow".into(),
        };
        SessionNetwork::new(
            "abc".parse().unwrap(),
            1000,
            fixed,
            Rules { mode: Mode::Public, rules: vec![rule] },
        )
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let place = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        let network = network();
        let until = SystemTime::now() + std::time::Duration::from_secs(60);
        let rule = Rule {
            verdict: Verdict::Deny,
            target: "b.org".parse().unwrap(),
            internal: false,
            origin: "x".into(),
        };
        network.add(rule, Some(until));
        let sent = |sent| Sent { destination: Destination::HostLoopback, sent, received: 3 };
        network.used(sent(7));
        let translator = Translator::new("2a0e:b107:64::/96".parse().unwrap()).unwrap();
        assert!(network.translates(vec![translator]) && !network.translates(vec![translator]));
        network.keep_totals(&directory);
        let read = SessionNetwork::read(network.id.clone(), 1000, &directory).unwrap().unwrap();
        assert_eq!((read.rules(), &read.fixed), (network.rules(), &network.fixed));
        assert_eq!(read.rules().rules.len(), 2);
        assert_eq!(read.translators(), network.translators());
        assert_eq!((read.totals(), read.gate_plan().sent), (network.totals(), vec![sent(7)]));
        assert_eq!(read.gate_plan().sent_in_all, 7);
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        assert!(SessionNetwork::read("abc".parse().unwrap(), 0, &directory).unwrap().is_none());
        std::fs::write(place.path().join(FILE), "{\"fixed\":1}").unwrap();
        assert!(SessionNetwork::read("abc".parse().unwrap(), 0, &directory).is_err());
        let kept = String::from_utf8(network().kept()).unwrap();
        for (prefix, is_one) in
            [("2a0e::/32", true), ("2a0e::/33", false), ("10.0.0.0/32", false), ("x", false)]
        {
            let kept = kept.replace("\"translators\":[]", &format!("\"translators\":[\"{prefix}\"]"));
            let read = SessionNetwork::parse("abc".parse().unwrap(), 0, kept.as_bytes());
            assert_eq!(read.is_ok(), is_one, "{prefix}");
        }
    }

    #[test]
    fn a_rule_that_has_ended_holds_no_more() {
        let network = network();
        let rule = Rule {
            verdict: Verdict::Allow,
            target: "b.org".parse().unwrap(),
            internal: false,
            origin: "x".into(),
        };
        network.add(rule, Some(SystemTime::now()));
        assert_eq!(network.rules().rules.len(), 1);
        assert_eq!(network.expire().len(), 1);
    }
}
