//! Starting one process in the session: its terminal or pipes, then fork and execve.

use crate::step::in_force;
use crate::sys::{self, Fork};
use agentbox_plan::{Process, Streams, TerminalSize};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A process that was forked.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its process id, as PID 1 sees it. It leads a session and a process group of that number.
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// What the outer half reads and writes, in the order of the `Started` message.
    pub(crate) ends: Vec<OwnedFd>,
    /// A copy of the terminal's master, to ask for its foreground group.
    pub(crate) terminal: Option<OwnedFd>,
    /// Gives the `errno` of execve, or ends when it succeeded.
    pub(crate) failure: OwnedFd,
}

/// The two sides of a process's streams.
struct Plumbing {
    /// Standard input, output and error of the process.
    inside: [OwnedFd; 3],
    ends: Vec<OwnedFd>,
    terminal: Option<OwnedFd>,
}

/// Forks and executes `process`. Failing to execute is reported through [`Child::failure`].
///
/// # Errors
/// When there is no terminal, pipe or process to be had.
pub(crate) fn start(process: &Process) -> io::Result<Child> {
    let Plumbing { inside, ends, terminal } = plumb(process.streams, process.size)?;
    let (failure, report) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Fork::Parent { pid, pidfd } => Ok(Child { pid, pidfd, ends, terminal, failure }),
        Fork::Child => {
            let error = execute(process, &inside, terminal.is_some());
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            let _ = rustix::io::write(&report, &errno.to_le_bytes());
            sys::exit_now(127)
        }
    }
}

fn plumb(streams: Streams, size: TerminalSize) -> io::Result<Plumbing> {
    let mut ends = Vec::new();
    let mut terminal = None;
    let mut slave = None;
    if streams.has_terminal() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        // The session's own devpts, so that ttyname(3) inside finds it.
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size)?;
        slave = Some(rustix::pty::ioctl_tiocgptpeer(&master, flags)?);
        terminal = Some(master.try_clone()?);
        ends.push(master);
    }
    let mut inside = Vec::with_capacity(3);
    for (is_terminal, is_input) in [(streams.input, true), (streams.output, false), (streams.error, false)] {
        match &slave {
            Some(slave) if is_terminal => inside.push(slave.try_clone()?),
            _ => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                let (mine, theirs) = if is_input { (write, read) } else { (read, write) };
                ends.push(mine);
                inside.push(theirs);
            }
        }
    }
    let inside = inside.try_into().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(Plumbing { inside, ends, terminal })
}

/// In the child: everything up to execve. Returns only why it failed.
fn execute(process: &Process, inside: &[OwnedFd; 3], terminal: bool) -> io::Error {
    match prepare(process, inside, terminal) {
        Ok(()) => look_up_and_execute(&process.arguments, &environment(process)),
        Err(error) => error,
    }
}

/// What the plan lists, and nothing of the launcher's own.
fn environment(process: &Process) -> Vec<CString> {
    let mut environment = process.environment.clone();
    if !in_force("environment") {
        let own = std::env::vars().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok());
        environment.extend(own);
    }
    environment
}

fn prepare(process: &Process, inside: &[OwnedFd; 3], terminal: bool) -> io::Result<()> {
    rustix::process::setsid()?;
    let streams = process.streams;
    if terminal {
        let kinds = [streams.input, streams.output, streams.error];
        if let Some((slave, _)) = inside.iter().zip(kinds).find(|(_, is_terminal)| *is_terminal) {
            rustix::process::ioctl_tiocsctty(slave)?;
        }
    }
    for (fd, number) in inside.iter().zip(0..) {
        sys::place(fd.as_fd(), number)?;
    }
    if in_force("close-descriptors") {
        sys::close_on_exec_from(3)?;
    }
    sys::default_signals();
    rustix::process::chdir(process.directory.as_c_str())?;
    Ok(())
}

/// execvp(3) with the `PATH` that the process will have, not the launcher's, which has none.
fn look_up_and_execute(arguments: &[CString], environment: &[CString]) -> io::Error {
    let Some(program) = arguments.first().filter(|program| !program.is_empty()) else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    if program.to_bytes().contains(&b'/') {
        return execute_or_interpret(program, arguments, environment);
    }
    let path = environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="));
    let mut failure = io::Error::from_raw_os_error(libc::ENOENT);
    for directory in path.unwrap_or(b"/usr/local/bin:/usr/bin:/bin").split(|byte| *byte == b':') {
        // An empty entry would mean the working directory, which holds what the agent wrote.
        if directory.is_empty() {
            continue;
        }
        let Ok(candidate) = CString::new([directory, b"/", program.to_bytes()].concat()) else { continue };
        let error = execute_or_interpret(&candidate, arguments, environment);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Found but not executable: remembered, as a shell does, while later entries are tried.
            Some(libc::EACCES) => failure = error,
            _ => return error,
        }
    }
    failure
}

/// execve; a file without `#!` is a shell script (POSIX execvp).
fn execute_or_interpret(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let error = sys::execve(program, arguments, environment);
    if error.raw_os_error() != Some(libc::ENOEXEC) {
        return error;
    }
    let mut script = vec![CString::from(c"/bin/sh"), program.to_owned()];
    script.extend(arguments.iter().skip(1).cloned());
    sys::execve(c"/bin/sh", &script, environment)
}

/// Reads the `errno` that [`Child::failure`] gives, or `None` when the program was executed.
pub(crate) fn execution_failure(failure: &OwnedFd) -> Option<i32> {
    let mut errno = [0; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(failure, &mut errno)) {
        Ok(4) => Some(i32::from_le_bytes(errno)),
        _ => None,
    }
}

/// Puts `/dev/null` of the session at the three standard descriptors, instead of the host's.
pub(crate) fn own_null() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for number in 0..3 {
        sys::place(null.as_fd(), number)?;
    }
    Ok(())
}
