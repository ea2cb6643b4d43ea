//! What the kernel refused: a line of the trail, and a line that the session can read.
//!
//! Equal refusals are counted together for ten seconds, so that no flood fills the disk. Names are an agent's:
//! they are escaped before they are anywhere.

use crate::descriptor::watch;
use crate::network::decisions::{Decisions, Entry, Kind, WINDOW};
use crate::network::denials::Denials;
use crate::supervisor::Supervisor;
use agentbox_kernel::guard::{Events, Hook, Refused};
use agentbox_plan::SessionId;
use agentbox_plan::trigger::Trigger;
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::io::Interest;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    group: u64,
    hook: Hook,
    path: Vec<Vec<u8>>,
    whole: bool,
}

impl Kind for What {
    fn is_refusal(&self) -> bool {
        true
    }
}

/// Listens until the supervisor is gone.
pub(super) fn listen(supervisor: &Arc<Supervisor>, events: Events) {
    tokio::spawn(run(Arc::downgrade(supervisor), events));
}

async fn run(supervisor: Weak<Supervisor>, mut events: Events) {
    let ready = match events.descriptor().and_then(|fd| watch(fd, Interest::READABLE)) {
        Ok(ready) => ready,
        Err(error) => return tracing::error!("the guard's refusals are not told: {error}"),
    };
    let mut refusals = Decisions::default();
    loop {
        tokio::select! {
            readable = ready.readable() => match readable {
                Ok(mut readable) => readable.clear_ready(),
                Err(error) => return tracing::error!("the guard's refusals are not told any more: {error}"),
            },
            () = tokio::time::sleep(WINDOW) => {}
        }
        let Some(supervisor) = supervisor.upgrade() else { return };
        let now = Instant::now();
        while let Some(Refused { group, hook, path, whole, .. }) = events.take() {
            for entry in refusals.note(now, What { group, hook, path, whole }) {
                tell(&supervisor, &entry);
            }
        }
        for entry in refusals.due(now) {
            tell(&supervisor, &entry);
        }
    }
}

fn tell(supervisor: &Supervisor, entry: &Entry<What>) {
    let Some(what) = &entry.decided else {
        let more = json!({ "event": "guard", "count": entry.count, "what": "more than can be told apart" });
        return write(supervisor, more);
    };
    let Some(id) = super::session_of(supervisor, what.group) else { return };
    let path = shown(&what.path, what.whole);
    let triggers = agentbox_policy::built_in_triggers();
    let trigger = triggers.ok().and_then(|triggers| triggers.find(&what.path));
    let actor = trigger.map(|trigger: &Trigger| trigger.actor.clone());
    let rule = trigger.map(|trigger| trigger.pattern.to_string());
    write(
        supervisor,
        json!({
            "event": "guard", "session": id.as_str(), "tried": what.hook.as_str(), "path": path,
            "rule": rule, "actor": actor, "count": entry.count,
        }),
    );
    let Ok(Some(directory)) = supervisor.directories.open_session(&id) else { return };
    let (reason, why) = reason(what.hook);
    let line = json!({
        "path": path,
        "tried": what.hook.as_str(),
        "reason": reason,
        "why": why,
        "rule": rule,
        "remedy": "ask the person to make this change outside of the session",
    });
    match Denials::open(directory) {
        Ok(mut denials) => denials.write(line),
        Err(error) => tracing::warn!("{error}"),
    }
}

fn reason(hook: Hook) -> (&'static str, &'static str) {
    match hook {
        Hook::LeadIn => {
            let why =
                "it leads into a directory that packages fill, and what they bring would be in force by it";
            ("link", why)
        }
        _ => ("trigger-file", "it makes a program on the host act later"),
    }
}

/// Below the project; what the kernel did not tell is three dots.
fn shown(path: &[Vec<u8>], whole: bool) -> String {
    let names: Vec<String> = path.iter().map(|name| name.escape_ascii().to_string()).collect();
    format!("{}{}", if whole { "" } else { "…/" }, names.join("/"))
}

fn write(supervisor: &Supervisor, event: serde_json::Value) {
    if let Err(error) = supervisor.audit().record(event) {
        tracing::error!("{error}");
    }
}

/// The session of a control group.
pub(super) fn named(held: Vec<(u64, String)>, group: u64) -> Option<SessionId> {
    held.into_iter().find(|(found, _)| *found == group).and_then(|(_, id)| id.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_agents_are_harmless() {
        assert_eq!(shown(&[b"a".to_vec(), b"\x1b[2J\n\xff".to_vec()], false), "…/a/\\x1b[2J\\n\\xff");
        assert_eq!(shown(&[b".envrc".to_vec()], true), ".envrc");
    }

    #[test]
    fn a_group_is_the_session_that_is_held_in_it() {
        let held = vec![(1, "babc1234".to_owned()), (2, "?".to_owned())];
        assert_eq!(named(held.clone(), 1).unwrap().as_str(), "babc1234");
        assert_eq!(named(held.clone(), 2), None);
        assert_eq!(named(held, 3), None);
    }
}
