//! Connecting to an ssh-agent as its person. Runs as root, with users that exist nowhere.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::agent::{self, AgentError};
use agentbox_kernel::cgroup::{Hierarchy, SessionGroup};
use agentbox_kernel::person::Person;
use agentbox_plan::SessionId;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const ME: u32 = 2_099_999_001;
const GROUP: u32 = 2_099_999_002;
const OTHER: u32 = 2_099_999_003;

struct Session(SessionGroup);

impl Session {
    fn new() -> Self {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
        Self(Hierarchy::find().unwrap().create(&SessionId::from_random(random)).unwrap())
    }

    fn connect(&self, groups: &[u32], path: &str) -> Result<OwnedFd, AgentError> {
        let person = Person {
            uid: ME,
            gid: ME,
            groups: groups.to_vec(),
            name: "me".into(),
            home: "/".into(),
            shell: "/bin/sh".into(),
        };
        agent::connect(&person, path, self.0.supervise.as_fd())?.finish()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait_empty(Duration::from_secs(20));
        let _ = self.0.remove();
    }
}

/// A socket of `owner`, in a directory of `owner` with this mode. Whoever listens is this process, so what it
/// is asked for is who the other end is.
fn listening(owner: u32, mode: u32) -> (tempfile::TempDir, String, UnixListener) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    for path in [place.path(), &path] {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
    (place, path.to_str().unwrap().to_owned(), listener)
}

/// Listens as somebody: the kernel tells peers who listened.
fn listening_as(owner: u32) -> (tempfile::TempDir, String, std::process::Child) {
    let place = tempfile::tempdir().unwrap();
    chown(place.path(), Some(owner), Some(owner)).unwrap();
    let path = place.path().join("agent").to_str().unwrap().to_owned();
    let script = format!(
        "import os, socket, struct, sys\nos.setgroups([]); os.setresgid({owner}, {owner}, {owner}); os.setresuid({owner}, {owner}, {owner})\n\
         s = socket.socket(socket.AF_UNIX); s.bind('{path}'); s.listen(1); print('listening', flush=True)\n\
         while True:\n    c, _ = s.accept(); c.sendall(c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)); c.recv(1)\n"
    );
    let mut command = std::process::Command::new("/usr/bin/python3");
    let mut child = command.args(["-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    (place, path, child)
}

#[test]
fn the_other_end_sees_the_person_and_the_connection_is_ours() {
    let session = Session::new();
    let (_place, path, mut child) = listening_as(ME);
    let connection = session.connect(&[ME], &path).unwrap();
    let mut stream = UnixStream::from(connection);
    stream.set_nonblocking(false).unwrap();
    let mut credentials = [0; 12];
    stream.read_exact(&mut credentials).unwrap();
    let number = |at: usize| u32::from_ne_bytes(credentials[at..at + 4].try_into().unwrap());
    assert_eq!((number(4), number(8)), (ME, ME));
    // The child has ended, and only this process holds the connection.
    assert!(!fs::exists(format!("/proc/{}", number(0))).unwrap());
    stream.write_all(b"x").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_not_the_persons_is_not_connected_to() {
    let session = Session::new();
    // Another's, open to everybody who finds it.
    let (_place, path, listener) = listening(OTHER, 0o755);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(matches!(session.connect(&[ME], &path), Err(AgentError::NotTheirs)));
    assert!(listener.accept().is_err());
    // The person's file, at which another listens.
    chown(&path, Some(ME), Some(ME)).unwrap();
    assert!(matches!(session.connect(&[ME], &path), Err(AgentError::NotTheirs)));
    // No socket at all.
    let file = format!("{path}.file");
    fs::write(&file, "").unwrap();
    chown(&file, Some(ME), Some(ME)).unwrap();
    assert!(matches!(session.connect(&[ME], &file), Err(AgentError::NotTheirs)));
}

#[test]
fn the_rights_are_the_persons_and_none_of_roots() {
    let session = Session::new();
    let refused = |groups: &[u32], path: &str| match session.connect(groups, path) {
        Err(AgentError::Refused(error)) => error.kind(),
        other => panic!("{other:?}"),
    };
    let denied = std::io::ErrorKind::PermissionDenied;
    let (place, path, _listener) = listening(OTHER, 0o700);
    assert_eq!(refused(&[ME], &path), denied);
    // Groups count as they do for the person.
    chown(place.path(), Some(OTHER), Some(GROUP)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o710)).unwrap();
    assert_eq!(refused(&[ME], &path), denied);
    assert!(matches!(session.connect(&[ME, GROUP], &path), Err(AgentError::NotTheirs)));
    assert_eq!(refused(&[ME], "/nonexistent/agent"), std::io::ErrorKind::NotFound);
    // A link of /proc leads past every right.
    assert!(matches!(session.connect(&[ME], "/proc/self/fd/0"), Err(AgentError::Refused(_))));
    for path in ["", "agent", "./agent", "/\0", &format!("/{}", "a".repeat(5000))] {
        assert!(matches!(session.connect(&[ME], path), Err(AgentError::Path)), "{path:?}");
    }
}

#[test]
fn nobody_waits_for_an_agent_that_does_not_accept() {
    let session = Session::new();
    let (_place, path, mut child) = listening_as(ME);
    // One that is served, and more than its queue holds.
    let mut held: Vec<OwnedFd> = Vec::new();
    let last = (0..20).find_map(|_| match session.connect(&[ME], &path) {
        Ok(connection) => {
            held.push(connection);
            None
        }
        Err(error) => Some(error),
    });
    assert!(
        matches!(last, Some(AgentError::Refused(error)) if error.kind() == std::io::ErrorKind::WouldBlock)
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
