//! Starts launchers, finds those of an earlier supervisor, and waits for them.
//!
//! A launcher gets no arguments, an empty environment, `/` as its directory and exactly the descriptors
//! of [`agentbox_plan::descriptors`]. It starts inside of its control group, in a session of its own, and
//! is not tied to the life of its supervisor: sessions outlive it.

use crate::cgroup::{CgroupError, SessionGroup};
use crate::shelf;
use crate::sys::{self, NewProcess};
use agentbox_plan::descriptors;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

const NAME: &str = "agentbox-launch";
/// Name of the process of a gate.
const GATE: &str = "agentbox-gate";

/// Why a launcher was not started or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LauncherError {
    /// A call failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// More descriptors than this process may open.
    #[error(
        "a session with {sources} sources needs more open files than the supervisor may have; raise its LimitNOFILE"
    )]
    TooManySources {
        /// How many sources.
        sources: usize,
    },
    /// The program could not be executed.
    #[error("cannot execute {name}: {cause}")]
    Exec {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The program is nowhere where it belongs.
    #[error(
        "{name} is neither beside {directory:?} nor in {directory:?}/../libexec/agentbox; install it there"
    )]
    NoProgram {
        /// Its name.
        name: &'static str,
        /// Directory of this program.
        directory: String,
    },
    /// Others could have changed the program.
    #[error("{path:?} {what}; it would run as root; install it anew, owned by root and mode 0755")]
    Untrusted {
        /// The program.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The launcher's group cannot be read.
    #[error(transparent)]
    Group(#[from] CgroupError),
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> LauncherError {
    move |errno| LauncherError::Io { doing, cause: errno.into() }
}

/// What a launcher starts with.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program, from [`find_program`].
    pub program: &'a OwnedFd,
    /// The encoded plan.
    pub plan: &'a [u8],
    /// Listening socket, from [`console::listen`](crate::console::listen).
    pub console: OwnedFd,
    /// Read end of the pipe that releases it.
    pub release: OwnedFd,
    /// Its end of the socket pair for reports.
    pub report: OwnedFd,
    /// The group that the agent goes into.
    pub payload: OwnedFd,
    /// The network namespace that was prepared for it, when one was.
    pub network: Option<OwnedFd>,
    /// What the plan's sources count.
    pub sources: Vec<OwnedFd>,
    /// The group that it starts in.
    pub supervise_group: &'a OwnedFd,
    /// Empty, but for tests of builds that are never released.
    pub environment: Vec<CString>,
}

/// A launcher that was started.
#[derive(Debug)]
pub struct Launcher {
    /// Its process id.
    pub pid: u32,
    /// The process itself; readable when it has ended.
    pub pidfd: OwnedFd,
}

/// How a launcher ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It returned this status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was started by an earlier supervisor: the kernel tells its status to nobody else.
    Unknown,
}

impl Launcher {
    /// How it ended; `None` while it runs. One that was started here is reaped by this.
    ///
    /// # Errors
    /// [`LauncherError`] when it cannot be asked for.
    pub fn try_wait(&self) -> Result<Option<Ended>, LauncherError> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)
        }) {
            Ok(None) => Ok(None),
            Ok(Some(status)) => Ok(Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Code(code),
                (None, Some(signal)) => Ended::Signal(signal),
                (None, None) => Ended::Unknown,
            })),
            // Not a child of this process: the pidfd becomes readable when it ends (pidfd_open(2)).
            Err(Errno::CHILD) => Ok(self.has_ended()?.then_some(Ended::Unknown)),
            Err(errno) => Err(failed("wait for the launcher")(errno)),
        }
    }

    fn has_ended(&self) -> Result<bool, LauncherError> {
        let mut fds = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).map_err(failed("look at the launcher"))?;
        Ok(!fds[0].revents().is_empty())
    }
}

/// Makes ready what every start of a program needs. To be called while this process has one thread: then it costs
/// nothing, and later some milliseconds of the first start.
///
/// # Errors
/// [`LauncherError`] when this process may not open so many files.
pub fn prepare() -> Result<(), LauncherError> {
    shelf::reserve(&null()?).map_err(failed("reserve descriptors"))
}

/// Starts a launcher. It waits for its release.
///
/// # Errors
/// [`LauncherError`] when it cannot be started; no process is left then.
pub fn spawn(spawn: Spawn<'_>) -> Result<Launcher, LauncherError> {
    let null = null()?;
    let plan = sealed(spawn.plan)?;
    let network = spawn.network.as_ref().unwrap_or(&null);
    let fixed = [&plan, &spawn.console, &spawn.release, &spawn.report, &spawn.payload, network];
    debug_assert_eq!(fixed.len() + STREAMS, descriptors::FIRST_SOURCE as usize);
    start(Program {
        name: NAME,
        part: None,
        program: spawn.program,
        places: fixed.into_iter().chain(&spawn.sources).map(AsFd::as_fd).collect(),
        group: Some(spawn.supervise_group),
        environment: &spawn.environment,
    })
}

/// A launcher that is never released. It keeps a scope, which needs a process to begin with, until the
/// session's own processes are in it. Dropping it tells it to end; it then has to be waited for.
#[derive(Debug)]
pub struct Holder {
    /// The process.
    pub launcher: Launcher,
    release: OwnedFd,
}

impl Holder {
    /// Tells it to end.
    #[must_use]
    pub fn let_go(self) -> Launcher {
        drop(self.release);
        self.launcher
    }
}

/// Starts one in the group of this process: asked for by name, even that would wait for whoever changes groups just now
/// (clone3(2), `CLONE_INTO_CGROUP`). It reads nothing but its pipe, and ends with its supervisor.
///
/// # Errors
/// [`LauncherError`] when it cannot be started.
pub fn hold(program: &OwnedFd) -> Result<Holder, LauncherError> {
    let null = null()?;
    let (their_release, release) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let mut places = [null.as_fd(); descriptors::FIRST_SOURCE as usize - STREAMS];
    places[descriptors::RELEASE as usize - STREAMS] = their_release.as_fd();
    let places = places.to_vec();
    let launcher = start(Program { name: NAME, part: None, program, places, group: None, environment: &[] })?;
    Ok(Holder { launcher, release })
}

/// Standard input, output and error: `/dev/null`.
const STREAMS: usize = 3;

/// A program of ours and what it starts with.
pub(crate) struct Program<'a> {
    /// Its name, which is also its first argument.
    pub(crate) name: &'static str,
    /// Its second argument.
    pub(crate) part: Option<&'static CStr>,
    /// The opened program.
    pub(crate) program: &'a OwnedFd,
    /// What becomes descriptor 3 and so on.
    pub(crate) places: Vec<BorrowedFd<'a>>,
    /// The group that it starts in; none: that of this process.
    pub(crate) group: Option<&'a OwnedFd>,
    /// Its environment.
    pub(crate) environment: &'a [CString],
}

/// `/dev/null`.
pub(crate) fn null() -> Result<OwnedFd, LauncherError> {
    fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed("open /dev/null"))
}

/// Starts a program of ours, with exactly the descriptors that are listed.
pub(crate) fn start(program: Program<'_>) -> Result<Launcher, LauncherError> {
    let too_many = || LauncherError::TooManySources { sources: program.places.len() };
    let null = null()?;
    let (failure, failure_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(failed("make a pipe for the program"))?;
    let streams = [null.as_fd(); STREAMS].into_iter();
    let own = [program.program.as_fd(), failure_end.as_fd()];
    let all: Vec<_> = own.into_iter().chain(streams).chain(program.places.iter().copied()).collect();
    let name = CString::new(program.name).map_err(|_| failed("name the program")(Errno::INVAL))?;
    let arguments: Vec<_> = [name].into_iter().chain(program.part.map(CStr::to_owned)).collect();
    let started = shelf::with(&all, &null, |copies, end| {
        sys::start(&NewProcess {
            program: copies[0].as_fd(),
            arguments: &arguments,
            environment: program.environment,
            descriptors: &copies[own.len()..],
            end,
            group: program.group.map(AsFd::as_fd),
            failure: copies[1].as_fd(),
        })
    });
    let (pid, pidfd) = match started {
        Ok(started) => started.map_err(|cause| LauncherError::Io { doing: "start the program", cause })?,
        // EINVAL: the lowest number asked for is above the limit of open files; EBADF: dup3(2) of one there.
        Err(Errno::MFILE | Errno::INVAL | Errno::BADF) => return Err(too_many()),
        Err(errno) => return Err(failed("copy a descriptor")(errno)),
    };
    drop(failure_end);

    // Closed by exec(2), or written to when that failed.
    let mut number = Vec::new();
    let read = File::from(failure).read_to_end(&mut number);
    match (read, <[u8; 4]>::try_from(number.as_slice())) {
        (Ok(_), Ok(number)) => {
            reap(&pidfd);
            let cause = io::Error::from_raw_os_error(i32::from_ne_bytes(number));
            Err(LauncherError::Exec { name: program.name, cause })
        }
        _ => Ok(Launcher { pid, pidfd }),
    }
}

/// Waits for a child that is about to end.
fn reap(pidfd: &OwnedFd) {
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    let _ = rustix::io::retry_on_intr(wait);
}

/// A file in memory that nobody can change any more (memfd_create(2), fcntl(2) F_ADD_SEALS).
pub(crate) fn sealed(bytes: &[u8]) -> Result<OwnedFd, LauncherError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match fs::memfd_create(c"agentbox-plan", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3.
        Err(Errno::INVAL) => fs::memfd_create(c"agentbox-plan", flags),
        other => other,
    }
    .map_err(failed("make a file for the plan"))?;
    let mut file = File::from(fd);
    let unwritten = |cause| LauncherError::Io { doing: "write the plan", cause };
    file.write_all(bytes).map_err(unwritten)?;
    fs::seek(&file, fs::SeekFrom::Start(0)).map_err(failed("rewind the plan"))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fs::fcntl_add_seals(&file, seals).map_err(failed("seal the plan"))?;
    Ok(OwnedFd::from(file))
}

/// The launcher of a session that an earlier supervisor started; `None` when none runs.
///
/// # Errors
/// [`LauncherError`] when the session's group cannot be read.
pub fn adopt(group: &SessionGroup) -> Result<Option<Launcher>, LauncherError> {
    find_running(group, None)
}

/// The launcher of a session, or the gate that runs under this id: all live in the same group, and a gate
/// can change neither its name nor its ids.
pub(crate) fn find_running(
    group: &SessionGroup,
    gate_uid: Option<u32>,
) -> Result<Option<Launcher>, LauncherError> {
    for pid in group.supervise_pids()? {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let fits = match gate_uid {
            // Neither a gate nor a child that is connecting for one.
            None => !matches!(field(&status, "Name:"), Some(GATE) | None) && !is_deputy(&status),
            Some(uid) => {
                field(&status, "Name:") == Some(GATE)
                    && field(&status, "Uid:").and_then(|uid| uid.parse().ok()) == Some(uid)
            }
        };
        if !fits {
            continue;
        }
        match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
            // The number could have become another process's between the two calls.
            Ok(pidfd) if group.supervise_pids()?.contains(&pid) => {
                return Ok(Some(Launcher { pid, pidfd }));
            }
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(failed("open the launcher's process")(errno)),
        }
    }
    Ok(None)
}

fn is_deputy(status: &str) -> bool {
    field(status, "Name:").is_some_and(|name| sys::DEPUTY_NAME.to_bytes() == name.as_bytes())
}

/// First word of a line of /proc/PID/status (proc_pid_status(5)).
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()
}

/// Opens `agentbox-launch`, beside this program or in `../libexec/agentbox` of that directory.
///
/// # Errors
/// [`LauncherError`] when it is in neither place, or others than root can write it.
pub fn find_program() -> Result<OwnedFd, LauncherError> {
    find(NAME)
}

/// Opens a program of ours.
pub(crate) fn find(name: &'static str) -> Result<OwnedFd, LauncherError> {
    let own_file = fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open this program"))?;
    let own = fs::readlink("/proc/self/exe", Vec::new()).map_err(failed("find this program"))?;
    let own = own.as_bytes();
    let end = own.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let directory = OsStr::from_bytes(if end == 0 { b"/" } else { &own[..end] });
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = fs::open(directory, flags, Mode::empty()).map_err(failed("open this program's directory"))?;
    for place in [".", "../libexec/agentbox"] {
        let path = format!("{place}/{name}");
        match fs::openat(&here, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(program) => return trusted(program, &own_file),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(failed("open the launcher")(errno)),
        }
    }
    Err(LauncherError::NoProgram { name, directory: directory.to_string_lossy().into_owned() })
}

/// Refuses a program that somebody could have changed who could not have changed this one.
fn trusted(program: OwnedFd, own: &OwnedFd) -> Result<OwnedFd, LauncherError> {
    let stat = fs::fstat(&program).map_err(failed("examine the launcher"))?;
    let own = fs::fstat(own).map_err(failed("examine this program"))?;
    let what = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "is not a regular file"
    } else if stat.st_uid != 0 && stat.st_uid != own.st_uid {
        "belongs neither to root nor to the owner of the supervisor's program"
    } else if stat.st_mode & 0o022 != 0 {
        "can be written by others than its owner"
    } else if stat.st_mode & 0o111 == 0 {
        "is not executable"
    } else {
        return Ok(program);
    };
    Err(LauncherError::Untrusted { path: crate::walk::shown(&program), what })
}
