//! The kernel's guard of trigger files: which sessions it holds, and how that survives this supervisor.
//!
//! A session is held from the making of its control group until that is gone. What it is held to is written
//! into its directory, so that a later supervisor with another version of the guard can hold it to the same
//! before it lets go of the old one. The guard is loaded with the first session that wants it, and stays, pinned,
//! until a supervisor ends and holds none.
//!
//! | file | holds |
//! |---|---|
//! | `refusals` | what the kernel refused, for the trail and for the session |

mod refusals;

use crate::session::{Order, Record};
use crate::supervisor::Supervisor;
use crate::waits::At;
use crate::workspace::Surveyed;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_kernel::directory;
use agentbox_kernel::guard::{Entry, Guard, GuardError, Place, Rules, group_number, level_of};
use agentbox_plan::SessionId;
use agentbox_plan::glob::{GlobName, PathGlob};
use agentbox_plan::look::{Masks, PlacePath};
use agentbox_plan::trigger::{Hold, Trigger};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Name inside a session's directory.
const KEPT: &str = "guard";
/// Most bytes of it: a thousand exempt paths.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// What holds trigger files in the project of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nobody asked for the guard.
    NotAsked,
    /// The kernel.
    Kernel,
    /// Not the kernel, for this reason.
    Missing(String),
}

impl Held {
    /// For `status`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NotAsked => "off".to_owned(),
            Self::Kernel => "kernel".to_owned(),
            Self::Missing(why) => format!("none: {why}"),
        }
    }
}

/// What a session is held to, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    device: u32,
    inode: u64,
    refused: Vec<String>,
    /// What is refused but in directories of the names that follow.
    #[serde(default)]
    loose: Vec<String>,
    #[serde(default)]
    brought: Vec<String>,
    masks: Vec<String>,
    /// Names of paths below the project.
    exempt: Vec<Vec<Vec<u8>>>,
}

impl Kept {
    /// What a session is held to, and what of the secrets the kernel's tables have no form or no room for.
    fn of(masks: &Masks, place: Place, surveyed: &Surveyed) -> Result<(Self, usize), GuardError> {
        let triggers = agentbox_policy::built_in_triggers().map_err(|error| refused(&error))?;
        let is_strict = surveyed.remembered.as_ref().is_some_and(|remembered| remembered.before.leads_in());
        let (refused, loose): (Vec<_>, Vec<_>) =
            triggers.held(Hold::Refuse).partition(|trigger| is_strict || trigger.everywhere);
        let texts = |all: Vec<&Trigger>| all.iter().map(|trigger| trigger.pattern.to_string()).collect();
        let tracked = surveyed.remembered.iter().flat_map(|remembered| &remembered.before.tracked);
        let exempt = tracked.map(|spot| spot.path.names().map(<[u8]>::to_vec).collect()).collect();
        let mut kept = Self {
            device: place.device,
            inode: place.inode,
            refused: texts(refused),
            loose: texts(loose),
            brought: if is_strict { Vec::new() } else { triggers.brought.clone() },
            masks: Vec::new(),
            exempt,
        };
        let left_out = kept.mask(masks, surveyed)?;
        Ok((kept, left_out))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Adds what somebody asked to hide, by its pattern, and every secret that is there, by its path: a pattern
    /// for all that could come to be would refuse a session its own `.env` too.
    fn mask(&mut self, masks: &Masks, surveyed: &Surveyed) -> Result<usize, GuardError> {
        let mut rules = self.rules()?;
        let mut add = |pattern: &PathGlob| {
            let fits = rules.mask(pattern).is_ok();
            if fits {
                self.masks.push(pattern.to_string());
            }
            fits
        };
        let mut left_out = masks.always.iter().filter(|pattern| !add(pattern)).count();
        let files = surveyed.hidden.files.iter().map(|path| exactly(path, ""));
        let directories = surveyed.hidden.directories.iter().map(|path| exactly(path, "/**"));
        for pattern in files.chain(directories) {
            left_out += usize::from(!pattern.is_some_and(|pattern| add(&pattern)));
        }
        Ok(left_out)
    }

    pub(crate) fn rules(&self) -> Result<Rules, GuardError> {
        let globs = |texts: &[String]| -> Result<Vec<PathGlob>, GuardError> {
            texts.iter().map(|text| text.parse().map_err(|error| refused(&error))).collect()
        };
        let mut rules = Rules::compile(&globs(&self.refused)?, [])?;
        if !self.brought.is_empty() {
            rules.but_in(&self.brought, &globs(&self.loose)?)?;
        }
        for mask in &globs(&self.masks)? {
            rules.mask(mask)?;
        }
        Ok(rules)
    }

    fn hold(&self, guard: &mut Guard, session: &SessionId, group: &SessionGroup) -> Result<(), GuardError> {
        guard.apply(&Entry {
            session,
            group: group_number(&group.payload)?,
            level: level_of(&group.payload_path()),
            place: Place { device: self.device, inode: self.inode },
            rules: &self.rules()?,
            exempt: &self.exempt,
        })
    }
}

/// The pattern of one path; `None` when it has a name that no pattern stands for.
fn exactly(path: &PlacePath, below: &str) -> Option<PathGlob> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    let pattern: PathGlob = format!("/{text}{below}").parse().ok()?;
    let names = pattern.names().get(..path.names().count())?;
    names.iter().all(|name| matches!(name, GlobName::Literal(_))).then_some(pattern)
}

fn refused(error: &dyn std::error::Error) -> GuardError {
    GuardError::Io { doing: "hold the session to its rules".to_owned(), cause: error.to_string() }
}

/// The program for the kernel.
#[cfg(feature = "guard")]
fn program() -> Result<&'static [u8], GuardError> {
    Ok(agentbox_guard::OBJECT)
}

/// There is none in a build without it, such as that of the tool that installs its compiler.
#[cfg(not(feature = "guard"))]
fn program() -> Result<&'static [u8], GuardError> {
    Err(refused(&std::io::Error::other("agentboxd was built without the feature `guard`")))
}

/// The guard of a supervisor.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    guard: Option<Guard>,
}

impl Guards {
    /// The guard, loaded when it is not.
    fn open(&mut self, supervisor: &Arc<Supervisor>) -> Result<&mut Guard, GuardError> {
        if self.guard.is_none() {
            let guard = Guard::open(program()?, &supervisor.directories.paths.runtime)?;
            refusals::listen(supervisor, guard.events()?);
            self.guard = Some(guard);
        }
        self.guard.as_mut().ok_or_else(|| refused(&std::io::Error::other("the guard is gone")))
    }
}

/// Holds a session that has nothing running yet, and tells how many secrets it does not hold besides. Loading the
/// guard takes a while, so it is done elsewhere.
pub(crate) async fn hold(
    supervisor: &Arc<Supervisor>,
    record: &Record,
    order: &Order,
    surveyed: &Surveyed,
    directory: &OwnedFd,
    group: &SessionGroup,
) -> Result<usize, GuardError> {
    let masks = order.policy.masks().map_err(|error| refused(&error))?;
    let project = order.project.fd.try_clone().map_err(|error| refused(&error))?;
    let path = order.project.path.clone();
    let place = move |at: &At| {
        at.set(&path);
        Place::of(project)
    };
    let place = supervisor.waits.at_paths_of(record.owner_uid, place).await;
    let place = place.map_err(|error| refused(&error))??;
    let (kept, left_out) = Kept::of(&masks, place, surveyed)?;
    let bytes = serde_json::to_vec(&kept).map_err(|error| refused(&error))?;
    directory::write_atomic(directory, KEPT, &bytes, 0o600, false).map_err(|error| refused(&error))?;
    let loading = Arc::clone(supervisor);
    let runtime = tokio::runtime::Handle::current();
    let loaded = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        loading.guards().open(&loading).map(drop)
    });
    loaded.await.map_err(|error| refused(&error))??;
    kept.hold(supervisor.guards().open(supervisor)?, &record.id, group)?;
    Ok(left_out)
}

/// Lets go of a session of which nothing runs any more.
pub(crate) fn release(supervisor: &Supervisor, id: &SessionId) -> Result<(), GuardError> {
    match &mut supervisor.guards().guard {
        Some(guard) => guard.revert(id),
        None => Ok(()),
    }
}

/// Takes over what an earlier supervisor's guard holds: sessions that live go on being held, by this version,
/// before an older one is detached; those that are dead are let go.
pub(crate) fn adopt(supervisor: &Arc<Supervisor>, living: &[SessionId]) {
    if !Guard::is_pinned(&supervisor.directories.paths.runtime) {
        return;
    }
    if let Err(error) = take_over(supervisor, living) {
        // What is pinned stays in force.
        supervisor.report(format!("the kernel's guard of an earlier supervisor stays as it is: {error}"));
    }
}

fn take_over(supervisor: &Arc<Supervisor>, living: &[SessionId]) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut guards = supervisor.guards();
    let guard = guards.open(supervisor).map_err(|error| text(&error))?;
    for id in living {
        let directory = supervisor.directories.open_session(id).map_err(|error| text(&error))?;
        let group = supervisor.hierarchy()?.open_existing(id).map_err(|error| text(&error))?;
        let (Some(directory), Some(group)) = (directory, group) else { continue };
        if let Some(kept) = read(directory)? {
            kept.hold(guard, id, &group).map_err(|error| format!("session {id}: {error}"))?;
        }
    }
    guard.retire_others().map_err(|error| text(&error))?;
    for held in guard.held().map_err(|error| text(&error))? {
        if let Ok(id) = held.parse::<SessionId>()
            && !living.contains(&id)
        {
            guard.revert(&id).map_err(|error| text(&error))?;
        }
    }
    Ok(())
}

fn read(directory: impl AsFd) -> Result<Option<Kept>, String> {
    let bytes = directory::read_file(directory, KEPT, MAX_KEPT_BYTES).map_err(|error| error.to_string())?;
    bytes.map(|bytes| Kept::parse(&bytes)).transpose()
}

/// Whether the kernel holds a session that was re-adopted.
pub(crate) fn held(supervisor: &Supervisor, directory: impl AsFd, id: &SessionId) -> Held {
    let guards = supervisor.guards();
    let held = guards.guard.as_ref().and_then(|guard| guard.held().ok()).unwrap_or_default();
    match read(directory) {
        _ if held.iter().any(|held| held == id.as_str()) => Held::Kernel,
        Ok(None) => Held::NotAsked,
        _ => Held::Missing("the guard of an earlier supervisor was not taken over".to_owned()),
    }
}

/// Lets go of sessions that are held and do not live; says which.
pub(crate) fn repair(supervisor: &Supervisor, living: &[SessionId]) -> Vec<String> {
    let Some(guard) = &mut supervisor.guards().guard else { return Vec::new() };
    let dead = guard.held().unwrap_or_default().into_iter().filter_map(|held| held.parse::<SessionId>().ok());
    let dead: Vec<_> = dead.filter(|id| !living.contains(id)).collect();
    let released = dead.iter().filter(|id| guard.revert(id).is_ok());
    released.map(|id| format!("session {id} is not held by the kernel's guard any more")).collect()
}

/// Which session a control group is.
fn session_of(supervisor: &Supervisor, group: u64) -> Option<SessionId> {
    let guards = supervisor.guards();
    refusals::named(guards.guard.as_ref()?.groups().ok()?, group)
}

/// Detaches the guard when it holds no session.
pub(crate) fn close(supervisor: &Supervisor) {
    if let Some(guard) = supervisor.guards().guard.take()
        && let Err(error) = guard.close()
    {
        tracing::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::look::{Before, Remembered, Spot, Thing, ThingKind};

    #[test]
    fn every_pattern_that_is_shipped_is_held_by_the_kernel() {
        let place = Place { device: 1, inode: 2 };
        let (kept, _) = Kept::of(&Masks::default(), place, &Surveyed::default()).unwrap();
        assert!(kept.refused.len() > 5 && kept.loose.len() > 40 && kept.brought.len() > 5);
        let rules = kept.rules().unwrap();
        // Room for what a profile and a project mask.
        assert!(rules.positions() + 128 <= agentbox_kernel::guard::MAX_POSITIONS, "{}", rules.positions());
    }

    fn paths(texts: &[&str]) -> Vec<PlacePath> {
        texts.iter().map(|text| PlacePath::new(*text).unwrap()).collect()
    }

    #[test]
    fn secrets_that_are_there_are_held_by_their_paths() {
        let surveyed = Surveyed {
            hidden: crate::workspace::Hidden {
                files: paths(&[".env", "a/*.env", "b/id_rsa"]),
                directories: paths(&["secrets"]),
            },
            ..Surveyed::default()
        };
        let glob = |text: &str| text.parse::<PathGlob>().unwrap();
        let masks = Masks { always: vec![glob("*.mine"), glob("*a*b*")], ..Masks::default() };
        let (kept, left_out) = Kept::of(&masks, Place { device: 1, inode: 2 }, &surveyed).unwrap();
        assert_eq!(kept.masks, ["*.mine", "/.env", "/b/id_rsa", "/secrets/**"]);
        assert_eq!(left_out, 2);
        let many: Vec<String> = (0..500).map(|number| format!("d/{number}.env")).collect();
        let files = many.iter().map(|text| PlacePath::new(text.as_str()).unwrap()).collect();
        let surveyed = Surveyed {
            hidden: crate::workspace::Hidden { files, directories: Vec::new() },
            ..Surveyed::default()
        };
        let (kept, left_out) = Kept::of(&Masks::default(), Place { device: 1, inode: 2 }, &surveyed).unwrap();
        assert!(kept.masks.len() > 50 && kept.masks.len() + left_out == 500, "{left_out}");
        kept.rules().unwrap();
    }

    #[test]
    fn what_is_kept_of_a_session_is_read_back() {
        let kept = Kept {
            device: 1,
            inode: 2,
            refused: vec![".git/hooks/**".into()],
            loose: vec![".envrc".into()],
            brought: vec!["venv".into()],
            masks: vec!["*.pem".into()],
            exempt: vec![vec![b"a\xff".to_vec(), b".envrc".to_vec()]],
        };
        let bytes = serde_json::to_vec(&kept).unwrap();
        assert_eq!(serde_json::from_slice::<Kept>(&bytes).unwrap(), kept);
        assert_eq!(kept.rules().unwrap().positions(), 4);
        let older = r#"{"device":1,"inode":2,"refused":[".envrc"],"masks":[],"exempt":[]}"#;
        assert_eq!(serde_json::from_str::<Kept>(older).unwrap().rules().unwrap().positions(), 1);
    }

    #[test]
    fn a_link_that_leads_to_what_packages_bring_makes_all_of_it_held() {
        let link = Thing {
            kind: ThingKind::LinkToBrought,
            spot: Spot { place: 0, path: PlacePath::new("app").unwrap() },
        };
        let before = Before { things: vec![link], ..Before::default() };
        let remembered = Remembered { owner_uid: 1, places: Vec::new(), before };
        let surveyed = Surveyed { remembered: Some(remembered), ..Surveyed::default() };
        let place = Place { device: 1, inode: 2 };
        let (kept, _) = Kept::of(&Masks::default(), place, &surveyed).unwrap();
        assert!(
            kept.loose.is_empty() && kept.brought.is_empty() && kept.refused.contains(&".envrc".to_owned())
        );
        kept.rules().unwrap();
    }
}
