//! The kernel's guard against a process in a control group. Where the kernel cannot, it has to say why.
//!
//! The attempts are made by this program again, which moves itself into the group first.

// What is removed is the tests' own; nobody else writes there.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "guard/attempts.rs"]
mod attempts;
#[path = "guard/place.rs"]
mod place;

use agentbox_kernel::guard::{self, Entry, Guard, Hook, Rules, group_number};
use agentbox_plan::glob::PathGlob;
use attempts::{CASES, DEEPEST, Outcome};
use place::Place;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// Set in the rig whose kernel has to have it.
const REQUIRED: &str = "AGENTBOX_TEST_GUARD";

/// The guard, or nothing where the kernel honestly has none.
fn guard(place: &Place) -> Option<Guard> {
    match Guard::open(agentbox_guard::OBJECT, &place.runtime) {
        Ok(guard) => Some(guard),
        Err(error) => {
            assert!(std::env::var_os(REQUIRED).is_none(), "{error}");
            let text = error.to_string();
            let known =
                ["security modules", "does not take the guard", "does not ask it", "no file system", "types"];
            assert!(known.iter().any(|known| text.contains(known)), "{text}");
            assert!(!Guard::is_pinned(&place.runtime), "something is left of a guard that was not loaded");
            println!("no guard here: {text}");
            None
        }
    }
}

fn globs(texts: &[&str]) -> Vec<PathGlob> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn rules() -> Rules {
    let loose =
        globs(&[".claude/settings.json", ".mcp.json", ".envrc", ".husky/**", "/only/here", ".zed*.json"]);
    let mut rules =
        Rules::compile(&globs(&[".git/hooks/**", ".git/modules/**/hooks/**"]), &globs(&[".env", "keys/**"]))
            .unwrap();
    rules.but_in(&["node_modules", "venv"], &loose).unwrap();
    rules
}

fn exempt() -> Vec<Vec<Vec<u8>>> {
    vec![vec![b"tracked".to_vec(), b".envrc".to_vec()]]
}

fn hold(guard: &mut Guard, place: &Place, level: Option<u32>, group: &std::path::Path) {
    let project = guard::Place::of(fs::File::open(&place.project).unwrap()).unwrap();
    guard
        .apply(&Entry {
            session: &place.session,
            group: group_number(fs::File::open(group).unwrap()).unwrap(),
            level,
            place: project,
            rules: &rules(),
            exempt: &exempt(),
        })
        .unwrap();
}

/// Runs as the child, and does nothing otherwise.
#[test]
fn attempt() {
    attempts::as_child();
}

#[test]
fn what_is_protected_is_refused_in_the_group_and_nowhere_else() {
    let place = Place::new("matrix");
    let Some(mut guard) = guard(&place) else { return };
    let mut events = guard.events().unwrap();
    hold(&mut guard, &place, None, &place.group);
    let (inside, deep_inside) = place.attempt(&place.group, &place.project);
    let (outside, deep_outside) = place.attempt(&place.other_group, &place.project);
    let (elsewhere, _) = place.attempt(&place.group, &place.elsewhere);
    assert_eq!((deep_inside, deep_outside), (DEEPEST - 1, DEEPEST + 50));
    let mut wrong = Vec::new();
    for (case, ((inside, outside), elsewhere)) in
        CASES.iter().zip(inside.iter().zip(&outside).zip(&elsewhere))
    {
        if *inside != case.held {
            wrong.push(format!("{}: {inside:?}, not {:?}", case.name, case.held));
        }
        for (place, found) in [("outside of the group", outside), ("outside of the project", elsewhere)] {
            if *found != Outcome::Done {
                wrong.push(format!("{} {place}: {found:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let group = group_number(fs::File::open(&place.group).unwrap()).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| events.take()).filter(|event| event.group == group).collect();
    // The others are for directories that are too deep, in the project and elsewhere.
    assert_eq!(told.len(), CASES.iter().filter(|case| case.held == Outcome::Refused).count() + 2);
    assert!(told.last().is_some_and(|event| !event.whole && event.hook == Hook::Directory), "{told:#?}");
    let named = |path: &[&str], hook| {
        told.iter().any(|event| {
            event.hook == hook && event.whole && event.path.iter().eq(path.iter().map(|name| name.as_bytes()))
        })
    };
    assert!(named(&[".mcp.json"], Hook::Create), "{told:#?}");
    assert!(named(&["sub", ".git", "hooks", "x"], Hook::Create), "{told:#?}");
    assert!(named(&[".env"], Hook::Read), "{told:#?}");
    assert!(named(&["app"], Hook::LeadIn), "{told:#?}");
    guard.revert(&place.session).unwrap();
    let (after, _) = place.attempt(&place.group, &place.project);
    assert!(after.iter().all(|outcome| *outcome == Outcome::Done), "{after:?}");
    assert!(guard.close().unwrap());
    assert!(!Guard::is_pinned(&place.runtime));
}

#[test]
fn groups_below_are_held_where_the_depth_is_known() {
    let place = Place::new("depth");
    let Some(mut guard) = guard(&place) else { return };
    let below = place.group.join("below");
    fs::create_dir(&below).unwrap();
    let first = |group: &std::path::Path| place.attempt(group, &place.project).0[0];
    hold(&mut guard, &place, None, &place.group);
    assert_eq!((first(&place.group), first(&below)), (Outcome::Refused, Outcome::Done));
    hold(&mut guard, &place, Some(place.depth), &place.group);
    assert_eq!((first(&place.group), first(&below)), (Outcome::Refused, Outcome::Refused));
    guard.revert(&place.session).unwrap();
    assert!(guard.close().unwrap());
    fs::remove_dir(&below).unwrap();
}

#[test]
fn it_holds_without_its_supervisor_and_through_an_upgrade() {
    let place = Place::new("upgrade");
    let Some(mut guard) = guard(&place) else { return };
    let first = || place.attempt(&place.group, &place.project).0[0];
    hold(&mut guard, &place, None, &place.group);
    // What a killed supervisor had open is gone.
    drop(guard);
    assert_eq!(first(), Outcome::Refused);
    // Another program, as after an upgrade: one byte behind the sections that are read.
    let mut other = agentbox_guard::OBJECT.to_vec();
    other.push(0);
    let mut upgraded = Guard::open(&other, &place.runtime).unwrap();
    assert!(upgraded.held().unwrap().is_empty());
    assert_eq!(first(), Outcome::Refused);
    hold(&mut upgraded, &place, None, &place.group);
    upgraded.retire_others().unwrap();
    assert_eq!(first(), Outcome::Refused);
    assert_eq!(upgraded.held().unwrap(), [place.session.as_str()]);
    // The next supervisor of the same version finds it.
    drop(upgraded);
    let mut again = Guard::open(&other, &place.runtime).unwrap();
    assert_eq!(again.held().unwrap(), [place.session.as_str()]);
    again.revert(&place.session).unwrap();
    assert_eq!(first(), Outcome::Done);
    assert!(again.close().unwrap());
}

#[test]
fn two_sessions_are_held_to_their_own_rules() {
    let (one, other) = (Place::new("one"), Place::new("other"));
    let Some(mut guard) = guard(&one) else { return };
    hold(&mut guard, &one, None, &one.group);
    let rules = Rules::compile(&globs(&["settings.json"]), []).unwrap();
    guard
        .apply(&Entry {
            session: &other.session,
            group: group_number(fs::File::open(&other.group).unwrap()).unwrap(),
            level: None,
            place: guard::Place::of(fs::File::open(&other.project).unwrap()).unwrap(),
            rules: &rules,
            exempt: &[],
        })
        .unwrap();
    let at = |name| CASES.iter().position(|case| case.name == name).unwrap();
    let (mcp, settings) = (at("create .mcp.json"), at("create settings.json elsewhere"));
    let found = one.attempt(&one.group, &one.project).0;
    assert_eq!((found[mcp], found[settings]), (Outcome::Refused, Outcome::Done));
    let found = other.attempt(&other.group, &other.project).0;
    assert_eq!((found[mcp], found[settings]), (Outcome::Done, Outcome::Refused));
    guard.revert(&one.session).unwrap();
    assert_eq!(guard.held().unwrap(), [other.session.as_str()]);
    assert_eq!(other.attempt(&other.group, &other.project).0[settings], Outcome::Refused);
    guard.revert(&other.session).unwrap();
    assert!(guard.close().unwrap());
}

#[test]
fn the_pins_are_roots_alone() {
    let place = Place::new("pins");
    let Some(guard) = guard(&place) else { return };
    let mode = fs::metadata("/sys/fs/bpf/agentbox").unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    assert!(guard.close().unwrap());
}

/// What the guard costs a task that it holds: 10 000 files made in a directory of the project, in turn held and not.
/// Prints, and asserts nothing: times are for people (`cargo xtask bench guard`).
#[test]
fn cost() {
    let Some(rounds) = std::env::var("AGENTBOX_TEST_ROUNDS").ok().and_then(|text| text.parse::<usize>().ok())
    else {
        return;
    };
    let place = Place::new("cost");
    let Some(mut guard) = guard(&place) else { return };
    hold(&mut guard, &place, None, &place.group);
    let deep = place.project.join("packages/web/src/components");
    let create = |group: &std::path::Path| {
        let _ = fs::remove_dir_all(&deep);
        fs::create_dir_all(&deep).unwrap();
        fs::write(group.join("cgroup.procs"), "0").unwrap();
        let begun = std::time::Instant::now();
        for number in 0..10_000 {
            fs::write(deep.join(format!("file-{number}.tsx")), "x").unwrap();
        }
        let took = begun.elapsed();
        fs::write(place.other_group.join("cgroup.procs"), "0").unwrap();
        took
    };
    let (mut held, mut free) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        free.push(create(&place.other_group));
        held.push(create(&place.group));
    }
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (held, free) = (median(&mut held), median(&mut free));
    println!(
        "\n10 000 files: {free:?} not held, {held:?} held, ratio {:.3} (medians of {rounds})",
        held.as_secs_f64() / free.as_secs_f64()
    );
    // Out of the groups that are removed now.
    fs::write(place.group.ancestors().nth(2).unwrap().join("cgroup.procs"), "0").unwrap();
    guard.revert(&place.session).unwrap();
    assert!(guard.close().unwrap());
}
