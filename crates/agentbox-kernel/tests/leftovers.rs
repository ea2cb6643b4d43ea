//! Leftovers of sessions whose supervisor died.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::cgroup::Hierarchy;
use agentbox_kernel::directory::{Directories, Paths, write_atomic};
use agentbox_kernel::leftovers::find;
use agentbox_plan::SessionId;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn id() -> SessionId {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
    SessionId::from_random(random)
}

fn directories(place: &tempfile::TempDir) -> Directories {
    let base = place.path();
    let paths = Paths { runtime: base.join("run"), state: base.join("state"), logs: base.join("logs") };
    Directories::open(paths, true).unwrap()
}

#[test]
fn what_a_dead_session_left_is_killed_and_removed_and_a_live_one_is_not() {
    let place = tempfile::tempdir().unwrap();
    let directories = directories(&place);
    let hierarchy = Hierarchy::find().unwrap();
    let (dead, live, directory_only) = (id(), id(), id());
    for id in [&dead, &live, &directory_only] {
        let dir = directories.create_session(id).unwrap();
        write_atomic(&dir, "ledger", b"x", 0o600, false).unwrap();
    }
    let group = hierarchy.create(&dead).unwrap();
    let live_group = hierarchy.create(&live).unwrap();
    let procs = hierarchy.mount_point().join(format!("agentbox/{dead}/payload/cgroup.procs"));
    let script = format!("echo $$ > {}; echo ready; exec sleep 1000", procs.display());
    let mut child = Command::new("sh").arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();

    let found = find(&directories, &hierarchy, std::slice::from_ref(&live)).unwrap();
    let cleaned = found.clean(&directories, &hierarchy);
    child.wait().unwrap();
    let left = live_group.remove();

    let mut expected = vec![(&dead, true, vec![child.id()]), (&directory_only, false, vec![])];
    expected.sort();
    let seen: Vec<_> = found.sessions.iter().map(|left| (&left.id, left.group, left.pids.clone())).collect();
    assert_eq!(seen, expected);
    assert_eq!(cleaned.failed, Vec::<String>::new());
    assert_eq!(cleaned.done.len(), 3, "{:?}", cleaned.done);
    assert!(!group.is_populated().unwrap_or(false));
    assert!(hierarchy.open_existing(&dead).unwrap().is_none());
    assert_eq!(directories.list_sessions().unwrap().ids, std::slice::from_ref(&live));
    left.unwrap();
    let nothing = find(&directories, &hierarchy, &[live]).unwrap();
    assert!(nothing.sessions.is_empty(), "{nothing:?}");
}

#[test]
fn what_another_supervisor_may_own_is_named_and_stays() {
    let place = tempfile::tempdir().unwrap();
    let directories = directories(&place);
    let hierarchy = Hierarchy::find().unwrap();
    let foreign = id();
    let group = hierarchy.create(&foreign).unwrap();
    std::fs::create_dir(directories.paths.runtime.join("sessions/..evil\n")).unwrap();
    let found = find(&directories, &hierarchy, &[]);
    let cleaned = found.as_ref().map(|found| found.clean(&directories, &hierarchy));
    let still = hierarchy.open_existing(&foreign).unwrap().is_some();
    group.remove().unwrap();
    let (found, cleaned) = (found.as_ref().unwrap(), cleaned.unwrap());
    assert!(found.sessions.is_empty() && cleaned.done.is_empty() && still);
    assert!(found.strangers.iter().any(|line| line.contains(foreign.as_str())));
    assert!(found.strangers.iter().any(|line| line.contains("..evil\\n")));
    assert!(found.strangers.iter().all(|line| !line.contains('\n')));
}
