//! User namespaces that exist only to be the map of an id-mapped mount (mount_setattr(2)).

use crate::step::{InStep, StepError};
use crate::sys::{self, Fork};
use agentbox_plan::IdMap;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use std::fmt::Write as _;
use std::os::fd::OwnedFd;

/// Makes the namespace of a map. In it an id on disk is the inner id and what the session sees is the
/// outer one (user_namespaces(7)), which is how an id-mapped mount reads it.
///
/// # Errors
/// When the kernel refuses the namespace or the map (an id twice in a column, no CAP_SETUID).
pub(crate) fn namespace(map: &IdMap) -> Result<OwnedFd, StepError> {
    const STEP: &str = "user namespace of an id map";
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step(STEP)?;
    let (pid, pidfd) = match sys::clone3(libc::CLONE_NEWUSER as u64, None).step(STEP)? {
        Fork::Child => {
            // Lives until the parent has opened its namespace, or is gone.
            drop(go);
            let _ = rustix::io::read(&wait, &mut [0; 1]);
            sys::exit_now(0);
        }
        Fork::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(wait);
    let namespace = write_and_open(pid, map);
    drop(go);
    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
    namespace
}

fn write_and_open(pid: i32, map: &IdMap) -> Result<OwnedFd, StepError> {
    for (name, pairs) in [("uid_map", &map.users), ("gid_map", &map.groups)] {
        let mut lines = String::new();
        for (on_disk, inside) in pairs {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{on_disk} {inside} 1");
        }
        let path = format!("/proc/{pid}/{name}");
        let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let file = file.step_with(|| format!("open {name}"))?;
        // The kernel takes a map in one write only.
        rustix::io::write(&file, lines.as_bytes())
            .step_with(|| format!("write {name} `{}`", lines.trim_end().escape_debug()))?;
    }
    let path = format!("/proc/{pid}/ns/user");
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open user namespace")
}
