//! Control groups in the hierarchy of the machine that runs the tests.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::cgroup::{CgroupError, GroupLimits, Hierarchy, SessionGroup};
use agentbox_plan::SessionId;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// A session's groups, killed and removed when the test ends.
struct Session {
    hierarchy: Hierarchy,
    group: SessionGroup,
    id: SessionId,
    children: Vec<Child>,
}

fn session() -> Session {
    let hierarchy = Hierarchy::find().unwrap();
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
    let id = SessionId::from_random(random);
    let group = hierarchy.create(&id).unwrap();
    Session { hierarchy, group, id, children: Vec::new() }
}

impl Session {
    fn path(&self, below: &str) -> PathBuf {
        self.hierarchy.mount_point().join("agentbox").join(self.id.as_str()).join(below)
    }

    /// Runs a shell script in a group; returns when it says "ready".
    fn run(&mut self, group: &str, script: &str) {
        let script = format!("echo $$ > {}/cgroup.procs\n{script}", self.path(group).display());
        let mut child = Command::new("sh").arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.children.push(child);
        assert_eq!(line, "ready\n");
    }

    fn reap(&mut self) {
        for mut child in self.children.drain(..) {
            child.wait().unwrap();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.group.kill();
        let _ = self.group.wait_empty(LONG);
        self.children.drain(..).for_each(|mut child| drop(child.wait()));
        let _ = self.group.remove();
    }
}

const WAIT: &str = "echo ready; exec sleep 1000";

#[test]
fn a_session_has_its_groups_until_they_are_removed() {
    let session = session();
    assert!(session.path("payload").is_dir() && session.path("supervise").is_dir());
    assert!(session.group.payload_path().ends_with(&format!("/agentbox/{}/payload", session.id)));
    assert!(session.hierarchy.list().unwrap().contains(&session.id));
    assert!(matches!(session.hierarchy.create(&session.id), Err(CgroupError::Exists { .. })));
    assert!(session.hierarchy.open_existing(&session.id).unwrap().is_some());
    session.group.remove().unwrap();
    session.group.remove().unwrap();
    assert!(!session.path("").exists());
    assert!(session.hierarchy.open_existing(&session.id).unwrap().is_none());
    assert!(!session.hierarchy.list().unwrap().contains(&session.id));
}

#[test]
fn a_fork_loop_in_nested_groups_is_killed_whole() {
    let mut session = session();
    std::fs::create_dir_all(session.path("payload/a/b/c")).unwrap();
    let forks = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo ready; \
                 while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait";
    session.run("payload/a/b/c", forks);
    session.run("payload", WAIT);
    session.run("supervise", WAIT);
    let pids = session.group.pids().unwrap();
    assert!(pids.len() > 100, "{}", pids.len());
    assert!(session.group.tasks().unwrap() > 100);
    assert!(session.group.is_populated().unwrap());
    assert!(matches!(session.group.remove(), Err(CgroupError::Busy { .. })));

    session.group.kill().unwrap();
    assert!(session.group.wait_empty(LONG).unwrap());
    session.reap();
    assert!(!session.group.is_populated().unwrap());
    assert_eq!(session.group.pids().unwrap(), Vec::<u32>::new());
    session.group.remove().unwrap();
    assert!(!session.path("").exists());
}

#[test]
fn killing_the_payload_leaves_who_supervises_it() {
    let mut session = session();
    session.run("payload", WAIT);
    session.run("supervise", WAIT);
    let outer = session.group.supervise_pids().unwrap();
    assert_eq!((outer.len(), session.group.pids().unwrap().len()), (1, 2));
    session.group.kill_payload().unwrap();
    session.children[0].wait().unwrap();
    assert_eq!(session.group.pids().unwrap(), outer);
    assert!(!session.group.wait_empty(Duration::ZERO).unwrap());
}

#[test]
fn what_is_frozen_stands_still_until_it_is_thawed_and_can_be_killed() {
    let mut session = session();
    session.run("payload", WAIT);
    let events = || std::fs::read_to_string(session.path("payload/cgroup.events")).unwrap();
    assert!(session.group.freeze(LONG).unwrap());
    assert!(events().contains("frozen 1"));
    session.group.thaw().unwrap();
    assert!(events().contains("frozen 0"));
    assert!(session.group.freeze(LONG).unwrap());
    session.group.kill().unwrap();
    assert!(session.group.wait_empty(LONG).unwrap());
}

#[test]
fn an_end_wakes_who_polls_for_events() {
    let mut session = session();
    session.run("payload", WAIT);
    let events = session.group.events().unwrap();
    let mut buffer = [0; 100];
    rustix::io::pread(&events, &mut buffer, 0).unwrap();
    session.group.kill().unwrap();
    let mut fds = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::PRI)];
    let time = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&time)).unwrap(), 1);
}

#[test]
fn a_part_of_the_groups_is_no_session_and_looking_at_it_makes_nothing() {
    for part in ["payload", "supervise"] {
        let session = session();
        std::fs::remove_dir(session.path(part)).unwrap();
        assert!(session.hierarchy.open_existing(&session.id).unwrap().is_none());
        assert!(!session.path(part).exists());
        session.hierarchy.remove_rest(&session.id).unwrap();
        session.hierarchy.remove_rest(&session.id).unwrap();
        assert!(!session.path("").exists());
    }
}

#[test]
fn what_somebody_is_in_is_no_rest() {
    let mut session = session();
    session.run("payload", WAIT);
    assert!(matches!(session.hierarchy.remove_rest(&session.id), Err(CgroupError::Busy { .. })));
    assert_eq!(session.group.payload_pids().unwrap().len(), 1);
    assert!(session.hierarchy.kill_rest(&session.id, LONG).unwrap());
    session.hierarchy.remove_rest(&session.id).unwrap();
    assert!(session.hierarchy.kill_rest(&session.id, LONG).unwrap());
}

#[test]
fn limits_are_enforced_where_there_is_a_controller_and_said_not_to_be_where_there_is_none() {
    let session = session();
    let controllers = session.hierarchy.controllers().unwrap();
    let has = |name: &str| controllers.iter().any(|controller| controller == name);
    let limits = GroupLimits { memory_max: Some(64 << 20), tasks_max: Some(50), ..GroupLimits::default() };
    let enforced = session.group.set_limits(limits).unwrap();
    assert_eq!((enforced.memory, enforced.tasks), (has("memory"), has("pids")));
    let file = |name: &str| std::fs::read_to_string(session.path("payload").join(name));
    assert_eq!(file("memory.max").ok(), has("memory").then(|| format!("{}\n", 64 << 20)));
    // A kernel without swap has no such file.
    assert!(file("memory.swap.max").map_or(true, |swap| swap == "0\n"));
    assert_eq!(file("pids.max").ok(), has("pids").then(|| "50\n".to_owned()));
    assert_eq!(session.group.memory_bytes().is_some(), has("memory"));
    let none = session.group.set_limits(GroupLimits::default()).unwrap();
    assert!(!none.memory && !none.tasks);
}
