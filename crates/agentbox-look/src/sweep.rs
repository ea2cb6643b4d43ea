//! What is different at the end of a session.

use crate::git::hooks;
use crate::git::keys;
use crate::git::pointers::{self, Named};
use crate::place::Places;
use crate::restore::{Restored, restore};
use crate::survey::{self, Seen};
use agentbox_plan::git_config;
use agentbox_plan::look::{
    Before, Change, FileState, Finding, FindingKind, LookPlan, PlacePath, Report, Spot, Thing,
};
use agentbox_plan::wire::Bytes;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};

/// Most findings of a report; of more only the number is told.
const MAX_FINDINGS: usize = 2000;

/// Judges git's configurations, and restores what may not have changed.
pub(crate) fn judge(places: &Places, plan: &LookPlan, before: &Before, spots: &[Spot]) -> Report {
    let mut findings = Vec::new();
    configs(places, plan, before, spots.iter().cloned().collect(), &mut findings);
    report(findings, Seen::default())
}

/// The same, and everything else.
pub(crate) fn sweep(places: &Places, plan: &LookPlan, before: &Before) -> Report {
    let seen = survey::look(places, plan);
    let mut findings = Vec::new();
    configs(places, plan, before, seen.configs(places), &mut findings);
    triggers(places, plan, before, &seen, &mut findings);
    things(before, &seen, &mut findings);
    links(places, before, &seen, &mut findings);
    report(findings, seen)
}

fn report(mut findings: Vec<Finding>, seen: Seen) -> Report {
    findings.sort_by_cached_key(|finding| (!finding.is_grave(), finding.spot.clone()));
    findings.dedup();
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    Report {
        findings,
        more: u32::try_from(more).unwrap_or(u32::MAX),
        unseen: seen.left.unseen,
        unseen_count: seen.left.count,
    }
}

fn configs(
    places: &Places,
    plan: &LookPlan,
    before: &Before,
    mut all: BTreeSet<Spot>,
    findings: &mut Vec<Finding>,
) {
    let was: BTreeMap<&Spot, Option<&Bytes>> =
        before.configs.iter().map(|config| (&config.spot, config.content.as_ref())).collect();
    all.extend(was.keys().map(|spot| (*spot).clone()));
    for spot in all {
        let old = was.get(&spot).copied().flatten().map(|content| content.0.as_slice());
        let now = read(places, &spot);
        if now.is_some()
            && old.is_none()
            && was.contains_key(&spot)
            && unreadable_before(places, before, &spot)
        {
            continue;
        }
        let directory = spot.path.split().map(|(parent, _)| parent);
        let is_module = |path: &PlacePath| spot.place == 0 && path.names().any(|name| name == b"modules");
        let directory = directory.filter(is_module);
        let verdict = keys::judge(&plan.keys, old, now.as_deref(), directory.as_ref());
        let mut add = |kind: FindingKind, change: Change, detail: String| {
            findings.push(Finding { kind, change, spot: spot.clone(), detail });
        };
        for words in verdict.told {
            add(FindingKind::ConfigTold, Change::Changed, words);
        }
        if verdict.restored.is_none() {
            continue;
        }
        // Judged again when git does not write: what it wrote meanwhile stays.
        let again =
            || keys::judge(&plan.keys, old, read(places, &spot).as_deref(), directory.as_ref()).restored;
        let how = match restore(places, &spot, again) {
            Ok(Restored::Written) => Ok(()),
            Ok(Restored::MovedAside) => {
                Err("; it could not be written anew and was moved to config.agentbox-refused".to_owned())
            }
            Err(errno) => Err(format!("; it could not be restored: {}", std::io::Error::from(errno))),
        };
        for words in verdict.refused {
            match &how {
                Ok(()) => add(FindingKind::ConfigRefused, Change::Restored, words),
                Err(why) => add(FindingKind::ConfigRefused, Change::Changed, format!("{words}{why}")),
            }
        }
    }
}

/// What a configuration says now. A link, a directory, something too large: that is not what git wrote.
fn read(places: &Places, spot: &Spot) -> Option<Vec<u8>> {
    places.kind(spot)?;
    Some(places.read(spot, git_config::MAX_BYTES).unwrap_or_else(|| b"[".to_vec()))
}

/// Whether a configuration was there and could not be read: then it is only known whether it is the same.
fn unreadable_before(places: &Places, before: &Before, spot: &Spot) -> bool {
    before
        .triggers
        .iter()
        .any(|trigger| trigger.spot == *spot && places.state(spot).as_ref() == Some(&trigger.state))
}

fn triggers(places: &Places, plan: &LookPlan, before: &Before, seen: &Seen, findings: &mut Vec<Finding>) {
    let was: BTreeMap<&Spot, &FileState> =
        before.triggers.iter().map(|trigger| (&trigger.spot, &trigger.state)).collect();
    let places_of_hooks = hooks::directories(places, &before.configs);
    let there = hooks::there(places, &places_of_hooks);
    let mut all: BTreeSet<&Spot> = seen.triggers.iter().chain(&there).collect();
    all.extend(was.keys());
    let configs: BTreeSet<&Spot> = before.configs.iter().map(|config| &config.spot).collect();
    for spot in all {
        let now = places.state(spot);
        let change = match (was.get(spot), &now) {
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(old), Some(new)) if *old != new => Change::Changed,
            _ => continue,
        };
        let is_link = [now.as_ref(), was.get(spot).copied()]
            .iter()
            .any(|state| matches!(state, Some(FileState::Link { .. })));
        let hook = plan.triggers.of_hook().filter(|_| hooks::is_one(&places_of_hooks, spot, is_link));
        let found = survey::trigger(plan, seen.repository_of(spot), spot, is_link).into_iter();
        let found = found.chain(hook.map(|trigger| (trigger, trigger.hold)));
        let Some((trigger, hold)) = found.min_by_key(|(_, hold)| *hold) else { continue };
        // What it says was judged.
        if hold == agentbox_plan::trigger::Hold::Judge
            && (configs.contains(spot) || seen.repository_of(spot).is_some())
        {
            continue;
        }
        let detail = match &now {
            Some(FileState::Link { to }) => format!("a link to {}", git_config::escaped(&to.0)),
            Some(FileState::File { executable: true, .. }) => "can be executed".to_owned(),
            _ => String::new(),
        };
        let kind = FindingKind::Trigger { hold, actor: trigger.actor.clone() };
        findings.push(Finding { kind, change, spot: spot.clone(), detail: note(detail, change, before) });
    }
}

/// Without a whole look at the start, what is new may have been there.
fn note(detail: String, change: Change, before: &Before) -> String {
    if before.whole || change != Change::Added {
        return detail;
    }
    let words = "or not seen at the start";
    if detail.is_empty() { words.to_owned() } else { format!("{detail}; {words}") }
}

fn things(before: &Before, seen: &Seen, findings: &mut Vec<Finding>) {
    let was: BTreeSet<&Thing> = before.things.iter().collect();
    for thing in seen.things.iter().filter(|thing| !was.contains(thing)) {
        let detail = note(String::new(), Change::Added, before);
        let kind = FindingKind::Thing { kind: thing.kind };
        findings.push(Finding { kind, change: Change::Added, spot: thing.spot.clone(), detail });
    }
}

/// Files of git that lead elsewhere than where git's own lead.
fn links(places: &Places, before: &Before, seen: &Seen, findings: &mut Vec<Finding>) {
    let known = |spot: &Spot| {
        let old = before.triggers.iter().find(|trigger| trigger.spot == *spot);
        old.is_some_and(|trigger| places.state(spot).as_ref() == Some(&trigger.state))
    };
    let mut add = |spot: &Spot, detail: String| {
        let finding =
            Finding { kind: FindingKind::Pointer, change: Change::Added, spot: spot.clone(), detail };
        findings.push(finding);
    };
    let repositories: BTreeSet<&Spot> = seen.repositories.iter().map(|repository| &repository.spot).collect();
    for file in seen.git_files.iter().filter(|file| !known(file)) {
        match pointers::git_file(places, file) {
            Some(Named::Inside(spot)) if repositories.contains(&spot) => {}
            Some(Named::Inside(spot)) => add(file, format!("leads to {}, which is no repository", spot.path)),
            Some(Named::Outside(path)) => {
                add(file, format!("leads out of the project, to {}", git_config::escaped(&path)))
            }
            Some(Named::Nothing) | None => add(file, "does not say where its repository is".to_owned()),
        }
    }
    for repository in seen.repositories.iter().filter(|repository| !repository.linked) {
        let Some(file) = pointers::below(&repository.spot, b"commondir") else { continue };
        match places.kind(&file) {
            None => continue,
            // What a link leads to says something else tomorrow: no link is known.
            Some(FileType::RegularFile) if known(&file) => continue,
            Some(_) => {}
        }
        match pointers::common(places, &repository.spot) {
            Some(Named::Inside(spot)) => add(&file, format!("leads to {}", spot.path)),
            Some(Named::Outside(path)) => {
                add(&file, format!("leads out of the project, to {}", git_config::escaped(&path)))
            }
            Some(Named::Nothing) => add(&file, "does not say where its repository is".to_owned()),
            None => add(&file, "cannot be read as git's: a link, or longer than git writes".to_owned()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::place::tests::{places, spot};
    use agentbox_plan::Ids;
    use agentbox_plan::look::{Keys, LookLimits, Masks, Task, TriggerBefore};
    use agentbox_plan::trigger::{Hold, Trigger, Triggers};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    pub(crate) fn plan() -> LookPlan {
        let trigger = |pattern: &str, hold| Trigger {
            pattern: pattern.parse().unwrap(),
            hold,
            actor: "git".to_owned(),
            everywhere: true,
        };
        let all = vec![
            trigger(".git/config", Hold::Judge),
            trigger(".git/hooks/**", Hold::Refuse),
            trigger(".git/commondir", Hold::Refuse),
            trigger(".claude/settings.json", Hold::Refuse),
        ];
        LookPlan {
            ids: Ids { uid: 1, gid: 1, groups: Vec::new() },
            places: Vec::new(),
            task: Task::Survey,
            triggers: Triggers { all, brought: Vec::new() },
            keys: Keys::default(),
            masks: Masks::default(),
            limits: LookLimits { entries: 10_000, time_ms: 10_000 },
        }
    }

    /// A git directory of which only the names count.
    pub(crate) fn git_directory(at: &Path, commondir: Option<&str>) {
        for name in ["objects", "refs"] {
            std::fs::create_dir_all(at.join(name)).unwrap();
        }
        std::fs::write(at.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(at.join("config"), "[core]\n\tfsmonitor = evil\n").unwrap();
        if let Some(text) = commondir {
            std::fs::write(at.join("commondir"), text).unwrap();
        }
    }

    #[test]
    fn no_directory_has_its_configuration_in_force_and_not_judged() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |path: &str| dir.path().join(path);
        let places = places(&[dir.path()]);
        git_directory(&at(".git"), None);
        git_directory(&at(".git/worktrees/tree"), Some("../..\n"));
        let before = look_at(&places);
        assert!(pointers_of(&places, &before, &Before::default()).is_empty());
        assert!(!before.configs(&places).contains(&spot(".git/worktrees/tree/config")));
        for (path, commondir) in [
            ("itself", "."),
            ("worktrees/far", "../../other"),
            // By a link on the way this is elsewhere.
            ("worktrees/led", "link/../../.."),
            ("worktrees/long", &format!("{}../..", "./".repeat(10_000))),
            (".git/modules/m", "../../../itself"),
            ("trees/x", "../.."),
        ] {
            git_directory(&at(path), Some(commondir));
        }
        git_directory(&at("linked"), None);
        std::fs::write(at("linked/description"), ".").unwrap();
        symlink("description", at("linked/commondir")).unwrap();
        git_directory(&at("files"), None);
        for name in ["objects", "refs"] {
            std::fs::remove_dir(at("files").join(name)).unwrap();
            std::fs::write(at("files").join(name), "").unwrap();
        }
        let seen = look_at(&places);
        let told = pointers_of(&places, &seen, &Before::default());
        let configs = seen.configs(&places);
        for path in [
            "itself",
            "worktrees/far",
            "worktrees/led",
            "worktrees/long",
            ".git/modules/m",
            "trees/x",
            "linked",
        ] {
            assert!(configs.contains(&spot(&format!("{path}/config"))), "{path}: {configs:?}");
            assert!(told.contains(&spot(&format!("{path}/commondir"))), "{path}: {told:?}");
        }
        assert!(configs.contains(&spot("files/config")));
        assert_eq!(told.len(), 7);
        // What was there before is known, but a link never is.
        let state = |path: &Spot| places.state(path).unwrap();
        let triggers = told.iter().map(|file| TriggerBefore { spot: file.clone(), state: state(file) });
        let before = Before { triggers: triggers.collect(), ..Before::default() };
        assert_eq!(pointers_of(&places, &seen, &before), [spot("linked/commondir")]);
    }

    fn look_at(places: &Places) -> Seen {
        survey::look(places, &plan())
    }

    fn pointers_of(places: &Places, seen: &Seen, before: &Before) -> Vec<Spot> {
        let mut findings = Vec::new();
        links(places, before, seen, &mut findings);
        findings.into_iter().map(|finding| finding.spot).collect()
    }
}
