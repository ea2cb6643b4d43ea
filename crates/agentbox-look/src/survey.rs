//! All that is known of a project before a session starts, and again at its end.

use crate::git::hooks;
use crate::git::pointers::{self, Named, below};
use crate::git::repository::{self, Repository};
use crate::masks::{Candidates, tracked};
use crate::place::Places;
use crate::walk::{self, Entry, Left, Listing};
use agentbox_plan::git_config;
use agentbox_plan::look::{
    Before, Claim, ConfigBefore, HeldPlace, LookPlan, Spot, Survey, Thing, ThingKind, TriggerBefore,
};
use agentbox_plan::trigger::{Hold, Trigger};
use agentbox_plan::wire::Bytes;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Most trigger files that are remembered, and most other things.
const MAX_KEPT: usize = 20_000;
/// Most files with several names that are counted.
const MAX_LINKED: usize = 100_000;
/// Most files that the kernel's guard lets pass one by one.
const MAX_TRACKED: usize = 1000;
/// Most configurations that others include.
const MAX_INCLUDED: usize = 64;

/// What a look may take after it has walked through the places: the supervisor waits somewhat longer.
const AFTER_WALK: Duration = Duration::from_secs(8);

/// From now on it counts how long a look takes.
pub(crate) fn begin(places: &Places, plan: &LookPlan) {
    places.set_end(Instant::now() + Duration::from_millis(plan.limits.time_ms.into()) + AFTER_WALK);
}

/// Everything in the places.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) repositories: Vec<Repository>,
    /// Directories that hold a `.git`.
    pub(crate) worktrees: BTreeSet<Spot>,
    /// Files called `.git`.
    pub(crate) git_files: Vec<Spot>,
    pub(crate) things: Vec<Thing>,
    pub(crate) triggers: Vec<Spot>,
    pub(crate) secrets: Candidates,
    pub(crate) left: Left,
    /// Whether something was not kept.
    pub(crate) more: bool,
    linked: BTreeMap<(u64, u64), (u64, u64, Spot)>,
}

/// Looks at all of it.
pub(crate) fn look(places: &Places, plan: &LookPlan) -> Seen {
    begin(places, plan);
    let mut seen = Seen::default();
    let left = walk::walk(places, plan.limits, |listing| {
        seen.note(places, plan, listing);
        walk::directories(listing)
    });
    seen.left = left;
    for (links, found, spot) in std::mem::take(&mut seen.linked).into_values() {
        if links > found {
            seen.thing(ThingKind::HardLink, spot);
        }
    }
    seen.things.sort();
    seen
}

impl Seen {
    fn note(&mut self, places: &Places, plan: &LookPlan, listing: &Listing) {
        if let Some(repository) = repository::of(places, listing) {
            let kind = if repository.bare { ThingKind::BareRepository } else { ThingKind::Repository };
            if !repository.spot.path.is_place() && !repository.linked {
                self.thing(kind, repository.spot.clone());
            }
            self.repositories.push(repository);
        }
        let around = self.around(&listing.spot);
        for entry in &listing.entries {
            self.entry(places, plan, listing, entry, around);
            if entry.kind == FileType::Symlink
                && let Some(spot) = listing.at(entry)
                && leads_in(places, plan, &spot)
            {
                self.thing(ThingKind::LinkToBrought, spot);
            }
        }
    }

    /// The innermost git directory around a directory; directories are listed after those that hold them.
    fn around(&self, spot: &Spot) -> Option<usize> {
        let within = |at: &usize| self.repositories[*at].names(spot).is_some();
        (0..self.repositories.len())
            .filter(within)
            .max_by_key(|at| self.repositories[*at].spot.path.as_bytes().len())
    }

    fn entry(
        &mut self,
        places: &Places,
        plan: &LookPlan,
        listing: &Listing,
        entry: &Entry,
        around: Option<usize>,
    ) {
        let Some(spot) = listing.at(entry) else { return };
        if entry.name == b".git" {
            self.worktrees.insert(listing.spot.clone());
            if entry.kind != FileType::Directory {
                self.git_files.push(spot.clone());
            }
        }
        if std::str::from_utf8(&entry.name).map_or(true, |name| name.chars().any(char::is_control)) {
            self.thing(ThingKind::OddName, spot.clone());
        }
        match entry.kind {
            FileType::Socket => self.thing(ThingKind::Socket, spot.clone()),
            FileType::Fifo => self.thing(ThingKind::Pipe, spot.clone()),
            FileType::CharacterDevice | FileType::BlockDevice => self.thing(ThingKind::Device, spot.clone()),
            _ => {}
        }
        if let (FileType::RegularFile, Some(stat)) = (entry.kind, &entry.stat) {
            if stat.st_mode & 0o6000 != 0 {
                self.thing(ThingKind::SetId, spot.clone());
            }
            let key = (stat.st_dev, stat.st_ino);
            if stat.st_nlink > 1 {
                if let Some((_, found, _)) = self.linked.get_mut(&key) {
                    *found += 1;
                } else if self.linked.len() < MAX_LINKED {
                    #[allow(clippy::useless_conversion, reason = "32 bits on other architectures")]
                    let links = stat.st_nlink.into();
                    self.linked.insert(key, (links, 1, spot.clone()));
                } else {
                    self.more = true;
                }
            }
        }
        // Only the name that git gives: what looks like git's may have been made so that a secret is shown.
        if !is_called_git(&listing.spot) {
            self.secrets.note(&plan.masks, listing, entry);
        }
        let repository = around.and_then(|at| self.repositories.get(at));
        let is_one = |to: Option<&[u8]>| trigger(plan, repository, &spot, to).is_some();
        let is_one = match entry.kind {
            FileType::Directory => false,
            // Few are one whatever they say; only those are read.
            FileType::Symlink => is_one(Some(b"")) && is_one(Some(&places.link(&spot).unwrap_or_default())),
            _ => is_one(None),
        };
        if is_one {
            if self.triggers.len() < MAX_KEPT {
                self.triggers.push(spot);
            } else {
                self.more = true;
            }
        }
    }

    fn thing(&mut self, kind: ThingKind, spot: Spot) {
        if self.things.len() < MAX_KEPT {
            self.things.push(Thing { kind, spot });
        } else {
            self.more = true;
        }
    }

    /// Every configuration of git, and those files of the places that these include.
    pub(crate) fn configs(&self, places: &Places) -> BTreeSet<Spot> {
        let mut all: BTreeSet<Spot> = self.repositories.iter().flat_map(Repository::configs).collect();
        let mut waiting: Vec<Spot> = all.iter().cloned().collect();
        let mut included = 0;
        while let Some(spot) = waiting.pop() {
            for other in includes(places, &spot) {
                if included < MAX_INCLUDED && all.insert(other.clone()) {
                    included += 1;
                    waiting.push(other);
                }
            }
        }
        all
    }

    /// The innermost repository whose directory holds a spot.
    pub(crate) fn repository_of(&self, spot: &Spot) -> Option<&Repository> {
        let (parent, _) = spot.path.split()?;
        self.around(&Spot { place: spot.place, path: parent }).map(|at| &self.repositories[at])
    }

    /// Files of the project that git tracks and that nobody may change otherwise: git itself has to.
    fn tracked(&self, places: &Places, plan: &LookPlan, hooks: &BTreeSet<Spot>) -> Vec<Spot> {
        let refused = |spot: &&Spot| {
            let is_refused = |(_, hold): (_, Hold)| hold == Hold::Refuse;
            let is_hook = hooks.contains(*spot);
            spot.place == 0
                && self.repository_of(spot).is_none()
                && (is_hook || trigger(plan, None, spot, None).is_some_and(is_refused))
        };
        let all = self.triggers.iter().chain(hooks).filter(refused).take(MAX_TRACKED);
        tracked(places, &self.worktrees, all).into_iter().collect()
    }

    /// What is remembered.
    pub(crate) fn before(&self, places: &Places, plan: &LookPlan) -> Before {
        let config = |spot: Spot| {
            let content = places.read(&spot, git_config::MAX_BYTES).map(Bytes);
            ConfigBefore { spot, content }
        };
        let trigger = |spot: &Spot| Some(TriggerBefore { spot: spot.clone(), state: places.state(spot)? });
        let in_time = || !places.is_late();
        // None is left out: at the end it would be taken for a new one, with nothing in it that may stay.
        let configs: Vec<ConfigBefore> = self.configs(places).into_iter().map(config).collect();
        let hooks = hooks::there(places, &hooks::directories(places, &configs));
        let triggers: BTreeSet<&Spot> = self.triggers.iter().chain(&hooks).collect();
        Before {
            configs,
            triggers: triggers.into_iter().take_while(|_| in_time()).filter_map(trigger).collect(),
            tracked: self.tracked(places, plan, &hooks),
            things: self.things.clone(),
            whole: self.left.count == 0 && !self.more && in_time(),
        }
    }
}

/// The trigger that a spot is, and how it is held there; `to` is what it says when it is a symbolic link.
pub(crate) fn trigger<'a>(
    plan: &'a LookPlan,
    repository: Option<&Repository>,
    spot: &Spot,
    to: Option<&[u8]>,
) -> Option<(&'a Trigger, Hold)> {
    let in_git = repository.and_then(|repository| plan.triggers.find(&repository.names(spot)?));
    let in_git = in_git.map(|trigger| (trigger, trigger.hold));
    if in_git.is_some() && is_called_git(spot) {
        return in_git;
    }
    // A directory that only looks like git's can be another program's as well.
    let names: Vec<&[u8]> = spot.path.names().collect();
    let by_name = match to {
        Some(to) => plan.triggers.find_link(&names, to),
        None => plan.triggers.find_held(&names),
    };
    in_git.into_iter().chain(by_name).min_by_key(|(_, hold)| *hold)
}

/// Whether a spot is in a directory that is git's by its name, or by that of its place.
fn is_called_git(spot: &Spot) -> bool {
    spot.place > 0 || spot.path.names().any(|name| name == b".git")
}

/// Whether a link of the project leads from elsewhere into a directory that packages fill.
pub(crate) fn leads_in(places: &Places, plan: &LookPlan, spot: &Spot) -> bool {
    let names: Vec<&[u8]> = spot.path.names().collect();
    // In such a directory nothing is asked about what it says.
    spot.place == 0
        && !names.iter().any(|name| plan.triggers.is_brought(name))
        && places.link(spot).is_some_and(|to| plan.triggers.leads_in(&names, &to))
}

/// Files of the places that a configuration includes.
fn includes(places: &Places, spot: &Spot) -> Vec<Spot> {
    let Some(bytes) = places.read(spot, git_config::MAX_BYTES) else { return Vec::new() };
    let Some((parent, _)) = spot.path.split() else { return Vec::new() };
    let directory = Spot { place: spot.place, path: parent };
    let entries = git_config::parse(&bytes).unwrap_or_default();
    let paths = entries
        .into_iter()
        .filter(|entry| matches!(entry.section.as_str(), "include" | "includeif") && entry.key == "path");
    let spots = paths.filter_map(|entry| match pointers::named(places, &directory, &entry.value?) {
        Named::Inside(spot) => Some(spot),
        Named::Outside(_) | Named::Nothing => None,
    });
    spots.collect()
}

/// What the supervisor is told before a session starts.
pub(crate) fn survey(places: &Places, plan: &LookPlan) -> Survey {
    let mut seen = look(places, plan);
    let mut stores = BTreeSet::new();
    let mut claims = Vec::new();
    let mut claim = |file: Spot, named: Named| match named {
        Named::Outside(names) => claims.push(Claim { file, names: Bytes(names) }),
        Named::Inside(_) | Named::Nothing => {}
    };
    for file in &seen.git_files {
        if let Some(named) = pointers::git_file(places, file) {
            claim(file.clone(), named);
        }
    }
    for repository in &seen.repositories {
        for named in pointers::alternates(places, &repository.spot) {
            match (named, below(&repository.spot, b"objects/info/alternates")) {
                (Named::Inside(spot), _) => drop(stores.insert(spot)),
                (named, Some(file)) => claim(file, named),
                (_, None) => {}
            }
        }
    }
    let verdicts = pointers::judge(places, &stores);
    let before = seen.before(places, plan);
    let mut held: BTreeSet<HeldPlace> = BTreeSet::new();
    for repository in &seen.repositories {
        repository.held(&mut held);
    }
    let (hidden, hidden_files) = std::mem::take(&mut seen.secrets).hide(places, &seen.worktrees);
    held.extend(hidden);
    Survey {
        held: held.into_iter().collect(),
        hidden_files,
        claims,
        places: verdicts,
        before,
        unseen: seen.left.unseen,
        unseen_count: seen.left.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{places, spot};
    use crate::sweep::tests::{git_directory, plan};

    #[test]
    fn what_looks_like_gits_hides_no_trigger_file_and_shows_no_secret() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |path: &str| dir.path().join(path);
        let mut plan = plan();
        plan.masks.patterns = vec![".env".parse().unwrap()];
        for path in ["", ".claude", ".git"] {
            git_directory(&at(path), None);
        }
        for path in [".env", ".claude/settings.json", ".claude/hooks", ".git/.env", ".git/refs/settings.json"]
        {
            std::fs::write(at(path), "x").unwrap();
        }
        let places = places(&[dir.path()]);
        let mut seen = look(&places, &plan);
        assert!(seen.triggers.contains(&spot(".claude/settings.json")), "{:?}", seen.triggers);
        let (hidden, _) = std::mem::take(&mut seen.secrets).hide(&places, &seen.worktrees);
        let hidden: Vec<Spot> = hidden.into_iter().map(|held| held.spot).collect();
        assert_eq!(hidden, [spot(".env")]);
    }
}
