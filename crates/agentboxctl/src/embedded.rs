//! Finding a supervisor, and starting one where none runs.
//!
//! The socket is made and listened on here, under a lock, and is handed to the supervisor
//! (sd_listen_fds(3)): whoever connects meanwhile waits in its backlog, and a supervisor that is about
//! to end takes the same lock before it removes the socket.

use crate::errors::{Failure, reason};
use crate::own_files::close_descriptors_above;
use agentbox_ipc::{GROUP, SOCKET_NAME};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// First argument of the child that becomes the supervisor.
pub(crate) const BECOME_SUPERVISOR: &str = "__become-supervisor";
/// First descriptor that is handed on (sd_listen_fds(3)).
const LISTEN_FDS_START: i32 = 3;

/// Where the supervisor's log is, for people.
pub(crate) fn log_place() -> String {
    if is_service(false) {
        "the journal: journalctl --unit=agentboxd".to_owned()
    } else {
        log_file().display().to_string()
    }
}

/// Where the log of an embedded supervisor is.
fn log_file() -> PathBuf {
    directory("LOGS_DIRECTORY", "/var/log/agentbox").join("agentboxd.log")
}

fn runtime_directory() -> PathBuf {
    directory("RUNTIME_DIRECTORY", "/run/agentbox")
}

fn directory(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map_or_else(|| default.into(), Into::into)
}

/// Whether the supervisor is a service: where systemd runs, unless somebody said otherwise or has started one
/// of their own there.
pub(crate) fn is_service(embedded: bool) -> bool {
    !embedded && Path::new("/run/systemd/system").is_dir() && !runtime_directory().join(SOCKET_NAME).exists()
}

/// A connection to the supervisor, which is started where none runs. `embedded`: somebody asked for that.
pub(crate) fn connect(embedded: bool) -> Result<UnixStream, Failure> {
    let runtime = runtime_directory();
    let socket = runtime.join(SOCKET_NAME);
    match UnixStream::connect(&socket) {
        Ok(stream) => return checked(stream, &socket),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
        Err(error) => return Err(unreachable_supervisor(&socket, &error)),
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(format!(
            "no supervisor is running at {}\nonly root can start one: `sudo agentboxctl{} start PROJECT`",
            socket.display(),
            if embedded { " --embedded" } else { "" },
        )));
    }
    start(&runtime, &socket)
}

/// A connection to a supervisor of one's own that runs.
pub(crate) fn running() -> Option<UnixStream> {
    let socket = runtime_directory().join(SOCKET_NAME);
    checked(UnixStream::connect(&socket).ok()?, &socket).ok()
}

/// The socket's maker must be root, or whoever asks: nobody else's supervisor is to be trusted.
fn checked(stream: UnixStream, socket: &Path) -> Result<UnixStream, Failure> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)
        .map_err(|errno| Failure::system("cannot ask who the supervisor is", errno))?;
    let uid = peer.uid.as_raw();
    if !is_trusted(uid, rustix::process::geteuid().as_raw()) {
        return Err(Failure::new(format!(
            "refused: {} was made by user id {uid}, not by root\nsomebody poses as the supervisor, or RUNTIME_DIRECTORY is wrong",
            socket.display()
        )));
    }
    Ok(stream)
}

fn is_trusted(maker_uid: u32, own_uid: u32) -> bool {
    maker_uid == 0 || maker_uid == own_uid
}

fn unreachable_supervisor(socket: &Path, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("ask root to add you to the group `{GROUP}` or to `users` in the configuration")
        }
        _ => "`agentboxctl doctor` as root shows more".to_owned(),
    };
    Failure::new(format!("cannot reach the supervisor at {}: {}\n{remedy}", socket.display(), reason(error)))
}

fn start(runtime: &Path, socket: &Path) -> Result<UnixStream, Failure> {
    let program = program()?;
    let failed = |what: String| {
        move |error: io::Error| Failure::system(format!("cannot start a supervisor: {what}"), error)
    };
    make_directory(runtime, 0o755).map_err(failed(runtime.display().to_string()))?;
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(runtime.join("lock"))
        .map_err(failed("the lock".into()))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| failed("the lock".into())(errno.into()))?;
    // Somebody else may have started one while this waited.
    if let Ok(stream) = UnixStream::connect(socket) {
        return checked(stream, socket);
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("the old socket".into())(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed(socket.display().to_string()))?;
    // Who connects is checked by the supervisor.
    fs::set_permissions(socket, Permissions::from_mode(0o666)).map_err(failed("the socket's mode".into()))?;
    let stream = UnixStream::connect(socket).map_err(failed("its socket".into()))?;
    let log = open_log().map_err(failed(log_file().display().to_string()))?;
    Command::new("/proc/self/exe")
        .arg(BECOME_SUPERVISOR)
        .arg(&program)
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(failed(program.display().to_string()))?;
    // The lock is released here: the connection that waits in the backlog keeps the supervisor alive.
    drop(lock);
    Ok(stream)
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn open_log() -> io::Result<File> {
    let path = log_file();
    if let Some(directory) = path.parent() {
        make_directory(directory, 0o755)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// `agentboxd`.
fn program() -> Result<PathBuf, Failure> {
    beside("agentboxd")
        .map_err(|failure| Failure::new(format!("cannot start a supervisor: {}", failure.text())))
}

/// A program of agentbox, beside this one or where packages put it.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = fs::read_link("/proc/self/exe")
        .map_err(|error| Failure::system("cannot read /proc/self/exe", error))?;
    let directory = own.parent().unwrap_or(Path::new("/"));
    let places = [directory.join(name), directory.join("../libexec/agentbox").join(name)];
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        Failure::new(format!(
            "{name} is missing\nlooked for {} and {}\ninstall it beside agentboxctl",
            places[0].display(),
            places[1].display()
        ))
    })
}

/// The child: gives the listening socket its number, leaves the person's terminal, becomes the supervisor.
pub(crate) fn become_supervisor(arguments: &[OsString]) -> ExitCode {
    let Some(program) = arguments.first() else { return ExitCode::FAILURE };
    match hand_over(program) {
        Ok(never) => match never {},
        Err(error) => {
            crate::output::note(&format!("cannot become {}: {error}", program.display()));
            ExitCode::FAILURE
        }
    }
}

fn hand_over(program: &OsStr) -> io::Result<std::convert::Infallible> {
    close_descriptors_above(2);
    let listener = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), LISTEN_FDS_START)?;
    if listener.as_raw_fd() != LISTEN_FDS_START {
        return Err(io::Error::other("descriptor 3 is taken"));
    }
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty())?;
    rustix::process::setsid()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Err(Command::new(program)
        .arg("--embedded")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", rustix::process::getpid().to_string())
        .env_remove("LISTEN_FDNAMES")
        .current_dir("/")
        .stdin(null)
        .exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_and_ones_own_supervisor_is_trusted() {
        for (maker, own, trusted) in
            [(0, 0, true), (0, 1000, true), (1000, 1000, true), (1000, 0, false), (1001, 1000, false)]
        {
            assert_eq!(is_trusted(maker, own), trusted, "{maker} {own}");
        }
    }
}
