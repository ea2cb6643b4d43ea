//! What is different at the end of a session.

use crate::git::hooks;
use crate::git::keys;
use crate::git::pointers::{self, Named};
use crate::place::Places;
use crate::restore::{Patience, Restored, restore, wait_for_locks};
use crate::survey::{self, Seen};
use crate::walk::Left;
use agentbox_plan::git_config;
use agentbox_plan::look::{
    Before, Change, FileState, Finding, FindingKind, LookPlan, PlacePath, Report, Spot, Thing, TriggerBefore,
    UnseenWhy,
};
use agentbox_plan::wire::Bytes;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};

/// Most findings of a report; of more only the number is told.
const MAX_FINDINGS: usize = 2000;

/// Judges git's configurations, and restores what may not have changed.
pub(crate) fn judge(places: &Places, plan: &LookPlan, before: &Before, spots: &[Spot]) -> Report {
    survey::begin(places, plan);
    let (mut findings, mut left) = (Vec::new(), Left::default());
    let patience = Patience::of_a_running_session();
    configs(places, plan, before, &patience, spots.iter().cloned().collect(), &mut findings, &mut left);
    report(findings, left)
}

/// The same, and everything else.
pub(crate) fn sweep(places: &Places, plan: &LookPlan, before: &Before) -> Report {
    let mut seen = survey::look(places, plan);
    let (mut findings, mut left) = (Vec::new(), std::mem::take(&mut seen.left));
    let all = seen.configs(places);
    let unlocked = configs(places, plan, before, &Patience::none(), all, &mut findings, &mut left);
    triggers(places, plan, before, &seen, &mut findings, &mut left);
    things(before, &seen, &mut findings);
    links(places, before, &seen, &mut findings, &mut left);
    if !unlocked.is_empty() {
        // A lock that is nobody's stays. A git of the person's that was writing puts what it had read over what was put back,
        // which is judged once more: nothing of the session makes another.
        wait_for_locks(places, &unlocked);
        let all = unlocked.into_iter().collect();
        configs(places, plan, before, &Patience::none(), all, &mut findings, &mut left);
    }
    report(findings, left)
}

fn report(mut findings: Vec<Finding>, left: Left) -> Report {
    findings.sort_by_cached_key(|finding| (!finding.is_grave(), finding.spot.clone()));
    findings.dedup();
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    Report {
        findings,
        more: u32::try_from(more).unwrap_or(u32::MAX),
        unseen: left.unseen,
        unseen_count: left.count,
    }
}

/// Those that were there at the start come first and are never left out: their repositories are the person's. Answers which were
/// put back over a lock of git's.
fn configs(
    places: &Places,
    plan: &LookPlan,
    before: &Before,
    patience: &Patience,
    all: BTreeSet<Spot>,
    findings: &mut Vec<Finding>,
    left: &mut Left,
) -> Vec<Spot> {
    let mut unlocked = Vec::new();
    let was: BTreeMap<&Spot, Option<&Bytes>> =
        before.configs.iter().map(|config| (&config.spot, config.content.as_ref())).collect();
    let others = all.into_iter().filter(|spot| !was.contains_key(spot));
    for spot in was.keys().map(|spot| (*spot).clone()).chain(others) {
        if places.is_late() && !was.contains_key(&spot) {
            if places.kind(&spot).is_some() {
                left.add(spot, UnseenWhy::TooLong);
            }
            continue;
        }
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
        let how = match restore(places, &spot, patience, again) {
            Ok(Restored::Written) => Ok(()),
            Ok(Restored::WrittenUnlocked) => {
                unlocked.push(spot.clone());
                Ok(())
            }
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
    unlocked
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
        .find(|trigger| trigger.spot == *spot)
        .is_some_and(|TriggerBefore { state, .. }| places.state_as(spot, Some(state)).as_ref() == Some(state))
}

/// How trigger files were at the start.
fn states(before: &Before) -> BTreeMap<&Spot, &FileState> {
    before.triggers.iter().map(|trigger| (&trigger.spot, &trigger.state)).collect()
}

/// Whether there is no time for this any more, which is noted then.
fn is_too_late(places: &Places, spot: &Spot, left: &mut Left) -> bool {
    let late = places.is_late();
    if late {
        left.add(spot.clone(), UnseenWhy::TooLong);
    }
    late
}

fn triggers(
    places: &Places,
    plan: &LookPlan,
    before: &Before,
    seen: &Seen,
    findings: &mut Vec<Finding>,
    left: &mut Left,
) {
    let was = states(before);
    let places_of_hooks = hooks::directories(places, &before.configs);
    let there = hooks::there(places, &places_of_hooks);
    let all: BTreeSet<&Spot> = seen.triggers.iter().chain(&there).collect();
    // What was there is read and comes first: others take no time from it.
    let others = all.into_iter().filter(|spot| !was.contains_key(spot));
    let configs: BTreeSet<&Spot> = before.configs.iter().map(|config| &config.spot).collect();
    for spot in was.keys().copied().chain(others) {
        if is_too_late(places, spot, left) {
            continue;
        }
        let now = places.state_as(spot, was.get(spot).copied());
        let change = match (was.get(spot), &now) {
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(old), Some(new)) if *old != new => Change::Changed,
            _ => continue,
        };
        let links = [now.as_ref(), was.get(spot).copied()].map(|state| match state {
            Some(FileState::Link { to }) => Some(to.0.as_slice()),
            _ => None,
        });
        let is_link = links.iter().any(Option::is_some);
        let hook = plan.triggers.of_hook().filter(|_| hooks::is_one(&places_of_hooks, spot, is_link));
        let found = links.map(|to| survey::trigger(plan, seen.repository_of(spot), spot, to));
        let found = found.into_iter().flatten().chain(hook.map(|trigger| (trigger, trigger.hold)));
        let Some((trigger, hold)) = found.min_by_key(|(_, hold)| *hold) else { continue };
        // What it says was judged.
        if hold == agentbox_plan::trigger::Hold::Judge
            && (configs.contains(spot) || seen.repository_of(spot).is_some())
        {
            continue;
        }
        let detail = match &now {
            Some(FileState::Link { to }) => format!("a link to {}", git_config::escaped(&to.0)),
            // More is read there now than in one look, so that it is not what it was, or another is not.
            Some(FileState::Unread { .. }) if matches!(was.get(spot), Some(FileState::File { .. })) => {
                "not compared, as there is more to read than one look reads".to_owned()
            }
            Some(FileState::File { executable: true, .. } | FileState::Unread { executable: true, .. }) => {
                "can be executed".to_owned()
            }
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
fn links(places: &Places, before: &Before, seen: &Seen, findings: &mut Vec<Finding>, left: &mut Left) {
    let was = states(before);
    let known = |spot: &Spot| {
        let old = was.get(spot).copied();
        old.is_some_and(|old| places.state_as(spot, Some(old)).as_ref() == Some(old))
    };
    let mut add = |spot: &Spot, detail: String| {
        let finding =
            Finding { kind: FindingKind::Pointer, change: Change::Added, spot: spot.clone(), detail };
        findings.push(finding);
    };
    let repositories: BTreeSet<&Spot> = seen.repositories.iter().map(|repository| &repository.spot).collect();
    for file in seen.git_files.iter().filter(|file| !is_too_late(places, file, left) && !known(file)) {
        match pointers::git_file(places, file) {
            Some(Named::Inside(spot)) if repositories.contains(&spot) => {}
            Some(Named::Inside(spot)) => add(file, format!("leads to {}, which is no repository", spot.path)),
            Some(Named::Outside(path)) => {
                add(file, format!("leads out of the project, to {}", git_config::escaped(&path)))
            }
            Some(Named::Nothing) | None => add(file, "does not say where its repository is".to_owned()),
        }
    }
    for repository in seen.repositories.iter().filter(|it| !it.linked && !is_too_late(places, &it.spot, left))
    {
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
    use agentbox_plan::look::{ConfigBefore, Keys, LookLimits, Masks, Task};
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

    /// A project whose configuration has changed, with many more that are new, before its own in order, and all locked.
    fn among_locks(dir: &Path) -> (Places, Before) {
        git_directory(&dir.join(".git"), None);
        for number in 0..60 {
            git_directory(&dir.join(format!("!z/{number}")), None);
            std::fs::write(dir.join(format!("!z/{number}/config.lock")), "").unwrap();
        }
        std::fs::write(dir.join(".git/config.lock"), "").unwrap();
        let config = ConfigBefore { spot: spot(".git/config"), content: Some(Bytes(b"[a]\n".to_vec())) };
        (places(&[dir]), Before { configs: vec![config], whole: true, ..Before::default() })
    }

    #[test]
    fn locks_that_are_left_do_not_keep_the_last_look_waiting() {
        let dir = tempfile::TempDir::new().unwrap();
        let (places, before) = among_locks(dir.path());
        let began = std::time::Instant::now();
        let report = sweep(&places, &plan(), &before);
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        let restored = report.findings.iter().filter(|finding| finding.change == Change::Restored);
        assert_eq!((restored.count(), report.unseen_count), (61, 0));
        assert!(!std::fs::read_to_string(dir.path().join(".git/config")).unwrap().contains("evil"));
    }

    #[test]
    fn what_was_there_at_the_start_is_judged_first_and_whatever_the_clock_says() {
        let dir = tempfile::TempDir::new().unwrap();
        let (places, before) = among_locks(dir.path());
        let all = look_at(&places).configs(&places);
        places.set_end(std::time::Instant::now());
        let (mut findings, mut left) = (Vec::new(), Left::default());
        let unlocked = configs(&places, &plan(), &before, &Patience::none(), all, &mut findings, &mut left);
        assert_eq!((unlocked, left.count), (vec![spot(".git/config")], 60));
        assert!(!std::fs::read_to_string(dir.path().join(".git/config")).unwrap().contains("evil"));
    }

    #[test]
    fn what_a_git_that_was_writing_puts_over_it_is_judged_once_more() {
        let dir = tempfile::TempDir::new().unwrap();
        git_directory(&dir.path().join(".git"), None);
        let (config, lock) = (dir.path().join(".git/config"), dir.path().join(".git/config.lock"));
        std::fs::copy(&config, &lock).unwrap();
        let places = places(&[dir.path()]);
        let git = {
            let config = config.clone();
            std::thread::spawn(move || {
                while std::fs::read_to_string(&config).unwrap_or_default().contains("evil") {
                    std::thread::yield_now();
                }
                std::fs::rename(lock, config).unwrap();
            })
        };
        sweep(&places, &plan(), &Before::default());
        git.join().unwrap();
        assert!(!std::fs::read_to_string(&config).unwrap().contains("evil"));
    }

    #[test]
    fn a_look_whose_time_is_over_says_what_it_did_not_look_at() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join(".claude")).unwrap();
        std::fs::write(dir.path().join(".claude/settings.json"), "x").unwrap();
        let places = places(&[dir.path()]);
        let seen = look_at(&places);
        let known = seen.before(&places, &plan());
        assert!(known.whole && known.triggers.len() == 1);
        places.set_end(std::time::Instant::now());
        let late = seen.before(&places, &plan());
        assert!(!late.whole && late.triggers.is_empty());
        let (mut findings, mut left) = (Vec::new(), Left::default());
        triggers(&places, &plan(), &known, &seen, &mut findings, &mut left);
        assert_eq!((findings.len(), left.count), (0, 1));
    }

    fn look_at(places: &Places) -> Seen {
        survey::look(places, &plan())
    }

    fn pointers_of(places: &Places, seen: &Seen, before: &Before) -> Vec<Spot> {
        let mut findings = Vec::new();
        links(places, before, seen, &mut findings, &mut Left::default());
        findings.into_iter().map(|finding| finding.spot).collect()
    }
}
