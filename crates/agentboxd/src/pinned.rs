//! What a profile puts into a session: whether it is what somebody looked at, and what is otherwise.
//!
//! The hash of a tree is the SHA-256 of its lines, one for each file in the order of paths: hash, `x` or `-`,
//! path. What was accepted is a record of root's with these lines, so that a difference can be told.

use crate::supervisor::Supervisor;
use crate::waits::At;
use agentbox_kernel::directory;
use agentbox_kernel::person::Person;
use agentbox_kernel::pinned::{self, Entry};
use agentbox_kernel::source::Opener;
use agentbox_policy::{Pin, PolicyError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Most bytes of a record: lines of two thousand files.
const MAX_BYTES: usize = 4 << 20;
/// Most differences that a refusal names.
const MAX_TOLD: usize = 5;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    path: String,
    lines: Vec<String>,
}

const VERSION: u32 = 1;

/// What is there now.
#[derive(Debug)]
pub(crate) struct Looked {
    entries: Vec<Entry>,
    lines: Vec<String>,
}

impl Looked {
    /// Its hash.
    pub(crate) fn hash(&self) -> String {
        hex(self.lines.join("\n").as_bytes())
    }
}

/// Reads what a pin names.
pub(crate) fn look(pin: &Pin, person: &Person) -> Result<Looked, PolicyError> {
    let by = match pin.by {
        agentbox_policy::Opener::System => Opener::System,
        agentbox_policy::Opener::Person => Opener::person(person),
    };
    let entries = pinned::read(&pin.path, &by)
        .map_err(|error| refused(pin, format!("`{}`: {error}", pin.path), "put a copy without it there"))?;
    let line = |entry: &Entry| {
        let program = if entry.program { 'x' } else { '-' };
        format!("{} {program} {}", hex(&entry.content), entry.path)
    };
    let lines = entries.iter().map(line).collect();
    Ok(Looked { entries, lines })
}

/// A copy for a session, when it is what was looked at.
pub(crate) fn copy(
    supervisor: &Supervisor,
    (pin, looked): (&Pin, &Looked),
    person: &Person,
    directory: &std::os::fd::OwnedFd,
    name: &str,
) -> Result<std::os::fd::OwnedFd, crate::session::steps::StepError> {
    judge(supervisor, pin, person.uid, looked)?;
    Ok(pinned::copy(directory, name, &looked.entries)?)
}

fn judge(supervisor: &Supervisor, pin: &Pin, uid: u32, looked: &Looked) -> Result<(), PolicyError> {
    const REMEDY: &str = "look at it, then: agentboxctl trust, with the same profile";
    if let Some(hash) = &pin.hash {
        let now = looked.hash();
        if *hash == now {
            return Ok(());
        }
        let what = format!("`{}`, whose hash is sha256:{now}", pin.path);
        return Err(refused(pin, what, "look at it, then write that hash there"));
    }
    match accepted(supervisor, uid, pin) {
        Ok(Some(lines)) if lines == looked.lines => Ok(()),
        Ok(Some(lines)) => {
            let differences = differences(&lines, &looked.lines);
            let more = differences.len().saturating_sub(MAX_TOLD);
            let mut told = differences.into_iter().take(MAX_TOLD).collect::<Vec<_>>().join(", ");
            if more > 0 {
                told.push_str(&format!(", and {more} more"));
            }
            Err(refused(pin, format!("`{}` is not what was accepted: {told}", pin.path), REMEDY))
        }
        Ok(None) => Err(refused(pin, format!("`{}`, which nobody has looked at", pin.path), REMEDY)),
        Err(error) => Err(refused(pin, format!("`{}`: {error}", pin.path), REMEDY)),
    }
}

/// What pins name as it is now, about to be accepted.
pub(crate) fn look_at_all<'a>(
    supervisor: &Supervisor,
    pins: impl IntoIterator<Item = &'a Pin>,
    person: &Person,
    at: &At,
) -> Result<Vec<Accepting>, PolicyError> {
    let look_at = |pin: &Pin| {
        at.set(&pin.path);
        let looked = look(pin, person)?;
        let before = accepted(supervisor, person.uid, pin).ok().flatten();
        Ok(Accepting { pin: pin.clone(), looked, before: before.unwrap_or_default() })
    };
    pins.into_iter().map(look_at).collect()
}

/// What a pin names, and what was accepted of it before.
#[derive(Debug)]
pub(crate) struct Accepting {
    pin: Pin,
    looked: Looked,
    before: Vec<String>,
}

impl Accepting {
    /// What is otherwise than before, and its hash.
    pub(crate) fn told(&self) -> Vec<String> {
        let path = &self.pin.path;
        let differences = differences(&self.before, &self.looked.lines);
        let told = differences.into_iter().map(|difference| format!("{path}: {difference}"));
        told.chain([format!("{path}: sha256:{}", self.looked.hash())]).collect()
    }

    /// Accepts it; one with a hash in the configuration is accepted there.
    pub(crate) fn write(&self, supervisor: &Supervisor, person: &Person) -> Result<(), PolicyError> {
        let pin = &self.pin;
        if pin.hash.is_some() {
            return Ok(());
        }
        let record = Record { version: VERSION, path: pin.path.clone(), lines: self.looked.lines.clone() };
        let written = serde_json::to_vec(&record).map_err(|error| error.to_string()).and_then(|bytes| {
            let own = supervisor.directories.accepted(person.uid).map_err(|error| error.to_string())?;
            directory::write_atomic(&own, &name(pin), &bytes, 0o600, true).map_err(|error| error.to_string())
        });
        written.map_err(|error| refused(pin, format!("`{}`: {error}", pin.path), "make room"))
    }
}

fn accepted(supervisor: &Supervisor, uid: u32, pin: &Pin) -> Result<Option<Vec<String>>, String> {
    let own = supervisor.directories.accepted(uid).map_err(|error| error.to_string())?;
    let bytes = directory::read_file(&own, &name(pin), MAX_BYTES).map_err(|error| error.to_string())?;
    bytes.map(|bytes| parse(&pin.path, &bytes)).transpose()
}

pub(crate) fn parse(path: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if record.version != VERSION || record.path != path {
        return Err("what was accepted is of another version or path".to_owned());
    }
    Ok(record.lines)
}

fn name(pin: &Pin) -> String {
    format!("pin-{}", hex(pin.path.as_bytes()))
}

/// What is otherwise: `+ path`, `- path`, `~ path`.
pub(crate) fn differences<'a>(before: &'a [String], now: &'a [String]) -> Vec<String> {
    let by_path = |lines: &'a [String]| -> BTreeMap<&str, &str> {
        lines.iter().map(|line| (line.splitn(3, ' ').nth(2).unwrap_or_default(), line.as_str())).collect()
    };
    let (before, now) = (by_path(before), by_path(now));
    let otherwise = now.iter().filter_map(|(path, line)| match before.get(path) {
        Some(before) if before == line => None,
        Some(_) => Some(('~', path)),
        None => Some(('+', path)),
    });
    let gone = before.keys().filter(|path| !now.contains_key(*path)).map(|path| ('-', path));
    otherwise.chain(gone).map(|(how, path)| format!("{how} {}", path.escape_debug())).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(pin: &Pin, what: String, remedy: &str) -> PolicyError {
    PolicyError::Refused { what, rule: pin.origin.clone(), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_kernel::person;

    fn pin(path: &std::path::Path, hash: Option<String>) -> Pin {
        Pin {
            path: path.to_string_lossy().into_owned(),
            hash,
            by: agentbox_policy::Opener::System,
            inside: "/x".into(),
            origin: "f: profile.w.skills".into(),
        }
    }

    #[test]
    fn what_changed_is_refused_with_the_difference_until_it_is_accepted() {
        let place = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(&place.path().join("agentbox"));
        let skill = place.path().join("skill");
        std::fs::create_dir(&skill).unwrap();
        std::fs::write(skill.join("SKILL.md"), "look").unwrap();
        let root = person::by_uid(0).unwrap().unwrap();
        let pin = pin(&skill, None);
        let judged =
            |pin: &Pin| judge(&supervisor, pin, 0, &look(pin, &root).unwrap()).map_err(|e| e.to_string());
        let accept = || -> Vec<String> {
            let accepting = look_at_all(&supervisor, [&pin], &root, &At::default()).unwrap().remove(0);
            accepting.write(&supervisor, &root).unwrap();
            accepting.told()
        };
        assert!(judged(&pin).unwrap_err().contains("nobody has looked at"));
        accept();
        assert_eq!(judged(&pin), Ok(()));
        std::fs::write(skill.join("SKILL.md"), "run this").unwrap();
        std::fs::write(skill.join("run.sh"), "x").unwrap();
        let refused = judged(&pin).unwrap_err();
        assert!(refused.contains("~ SKILL.md") && refused.contains("+ run.sh"), "{refused}");
        let told = accept();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(judged(&pin), Ok(()));
        let hash = look(&pin, &root).unwrap().hash();
        assert_eq!(judged(&Pin { hash: Some(hash.clone()), ..pin.clone() }), Ok(()));
        std::fs::remove_file(skill.join("run.sh")).unwrap();
        assert!(judged(&pin).unwrap_err().contains("- run.sh"));
        assert!(judged(&Pin { hash: Some(hash), ..pin }).unwrap_err().contains("sha256:"));
    }
}
