//! Starting a launcher. A shell stands in for it: what it starts with is looked at from outside.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::cgroup::{Hierarchy, SessionGroup};
use agentbox_kernel::launcher::{Ended, Launcher, LauncherError, Spawn, adopt, spawn};
use agentbox_plan::SessionId;
use rustix::fs::{Mode, OFlags, SealFlags};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

struct Session {
    group: SessionGroup,
    place: tempfile::TempDir,
    release: OwnedFd,
    report: OwnedFd,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.group.kill();
        let _ = self.group.wait_empty(Duration::from_secs(20));
        let _ = self.group.remove();
    }
}

fn open(path: &str) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Starts bash, which reads the file named by `BASH_ENV` before anything else, with `sources`.
fn start(
    script: &str,
    program: &OwnedFd,
    sources: Vec<OwnedFd>,
) -> (Session, Result<Launcher, LauncherError>) {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
    let group = Hierarchy::find().unwrap().create(&SessionId::from_random(random)).unwrap();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("script"), script).unwrap();
    let variable = format!("BASH_ENV={}/script", place.path().display());
    let (release_end, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (report, report_end) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    let launcher = spawn(Spawn {
        program,
        plan: b"the plan",
        console: agentbox_kernel::console::listen(std::fs::File::open(place.path()).unwrap()).unwrap(),
        release: release_end,
        report: report_end,
        network: None,
        payload: group.payload.try_clone().unwrap(),
        sources,
        supervise_group: &group.supervise,
        environment: vec![CString::new(variable).unwrap()],
    });
    (Session { group, place, release, report }, launcher)
}

fn wait(launcher: &Launcher) -> Ended {
    let mut fds = [rustix::event::PollFd::new(&launcher.pidfd, rustix::event::PollFlags::IN)];
    let time = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&time)).unwrap(), 1);
    launcher.try_wait().unwrap().unwrap()
}

/// Waits until the script has stopped itself: nothing about it changes then.
fn wait_stopped(launcher: &Launcher) {
    let id = WaitId::PidFd(launcher.pidfd.as_fd());
    let status =
        rustix::process::waitid(id, WaitIdOptions::STOPPED | WaitIdOptions::EXITED).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
}

fn proc_text(launcher: &Launcher, file: &str) -> String {
    String::from_utf8(std::fs::read(format!("/proc/{}/{file}", launcher.pid)).unwrap()).unwrap()
}

#[test]
fn a_launcher_starts_with_what_was_agreed_and_nothing_else() {
    let bash = open("/bin/bash");
    let sources = ["/dev/zero", "/usr", "/etc"].map(open).into();
    let script = "cat <&3 >&6; kill -STOP $$; IFS= read -r -N 1 -u 5 byte; printf %s \"$byte\" >&6; exit 7";
    let (session, launcher) = start(script, &bash, sources);
    let launcher = launcher.unwrap();
    assert_eq!(launcher.try_wait().unwrap(), None);
    wait_stopped(&launcher);

    let mut descriptors = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", launcher.pid)).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        descriptors.insert(number, std::fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned());
    }
    let expected = [
        "/dev/null",
        "/dev/null",
        "/dev/null",
        "/memfd:agentbox-plan (deleted)",
        "socket:",
        "pipe:",
        "socket:",
        "/payload",
        "/dev/null",
        "/dev/zero",
        "/usr",
        "/etc",
    ];
    assert_eq!(descriptors.len(), expected.len(), "{descriptors:?}");
    for ((number, target), expected) in descriptors.iter().zip(expected) {
        assert!(target.contains(expected), "{number}: {target}");
    }
    let plan = std::fs::File::open(format!("/proc/{}/fd/3", launcher.pid)).unwrap();
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    assert!(rustix::fs::fcntl_get_seals(&plan).unwrap().contains(seals));

    assert_eq!(proc_text(&launcher, "cmdline"), "agentbox-launch\0");
    let environment = format!("BASH_ENV={}/script\0", session.place.path().display());
    assert_eq!(proc_text(&launcher, "environ"), environment);
    assert!(proc_text(&launcher, "cgroup").contains(&format!("0::{}/supervise\n", session.group.path())));
    let link = |file: &str| std::fs::read_link(format!("/proc/{}/{file}", launcher.pid)).unwrap();
    assert_eq!(link("cwd").to_str(), Some("/"));
    let status = proc_text(&launcher, "status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(field("Umask:"), "0000");
    assert_eq!(field("NSsid:"), launcher.pid.to_string());
    assert_eq!(field("SigBlk:"), "0000000000000000");
    // Rust programs, this one too, ignore SIGPIPE.
    let ignored = u64::from_str_radix(field("SigIgn:"), 16).unwrap();
    assert_eq!(ignored & (1 << (Signal::PIPE.as_raw() - 1)), 0);
    assert_eq!(
        proc_text(&launcher, "oom_score_adj"),
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap()
    );

    let adopted = adopt(&session.group).unwrap().unwrap();
    assert_eq!(adopted.pid, launcher.pid);
    let receive = || {
        let mut buffer = [0; 100];
        let (count, _) = rustix::net::recv(&session.report, &mut buffer, RecvFlags::empty()).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(receive(), "the plan");
    rustix::process::pidfd_send_signal(&launcher.pidfd, Signal::CONT).unwrap();
    std::fs::File::from(session.release.try_clone().unwrap()).write_all(b"x").unwrap();
    assert_eq!(receive(), "x");
    assert_eq!(wait(&launcher), Ended::Code(7));
    assert!(adopt(&session.group).unwrap().is_none());
}

#[test]
fn hundreds_of_sources_keep_their_order() {
    let bash = open("/bin/bash");
    let place = tempfile::tempdir().unwrap();
    let sources: Vec<OwnedFd> = (0..300)
        .map(|number| {
            let path = place.path().join(number.to_string());
            std::fs::write(&path, "").unwrap();
            open(path.to_str().unwrap())
        })
        .collect();
    let (_session, launcher) = start("kill -STOP $$", &bash, sources);
    let launcher = launcher.unwrap();
    wait_stopped(&launcher);
    for number in 0..300 {
        let target = std::fs::read_link(format!("/proc/{}/fd/{}", launcher.pid, 9 + number)).unwrap();
        assert_eq!(target, place.path().join(number.to_string()));
    }
    assert_eq!(std::fs::read_dir(format!("/proc/{}/fd", launcher.pid)).unwrap().count(), 309);
}

#[test]
fn a_signal_that_ends_a_launcher_is_told() {
    let bash = open("/bin/bash");
    let (session, launcher) = start("IFS= read -r -N 1 -u 5 byte", &bash, vec![]);
    let launcher = launcher.unwrap();
    session.group.kill().unwrap();
    assert_eq!(wait(&launcher), Ended::Signal(Signal::KILL.as_raw()));
}

#[test]
fn a_program_that_cannot_be_executed_is_an_error_and_no_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("text");
    std::fs::write(&path, "no program").unwrap();
    for mode in [0o644, 0o755] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let (session, launcher) = start("", &open(path.to_str().unwrap()), vec![]);
        assert!(matches!(launcher, Err(LauncherError::Exec { .. })), "{launcher:?}");
        assert!(!session.group.is_populated().unwrap());
    }
}

#[test]
fn many_threads_start_launchers_at_once() {
    std::thread::scope(|scope| {
        for status in 0..8 {
            scope.spawn(move || {
                let bash = open("/bin/bash");
                let (_session, launcher) = start(&format!("exit {status}"), &bash, vec![]);
                assert_eq!(wait(&launcher.unwrap()), Ended::Code(status));
            });
        }
    });
}
