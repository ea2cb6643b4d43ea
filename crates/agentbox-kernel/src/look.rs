//! Starts lookers, which look into a project with its person's rights, and takes their answer.
//!
//! A looker is a child that ends by itself and is killed when it does not. What it answers was found by a
//! program that read what an agent wrote: it is decoded within bounds, and believed no further than that.

use crate::launcher::{self, Ended, Launcher, LauncherError, Program};
use crate::sys;
use agentbox_plan::Wire;
use agentbox_plan::look::{LookPlan, MAX_ANSWER_BYTES, Sighting, Task, descriptors, take_sighting};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::io;

const PROGRAM: &str = "agentbox-look";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// It could not be started.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// A call failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It ended without one, or what it said is none.
    #[error("the program that looks into the project gave no answer ({why})")]
    NoAnswer {
        /// How it ended.
        why: String,
    },
}

/// A looker that runs. Dropped, it is killed and waited for: as long as the file system that it looks at lets it not go.
#[derive(Debug)]
pub struct Looker {
    process: Launcher,
    /// Read end of its answer, in non-blocking mode.
    pub answer: OwnedFd,
    bytes: Vec<u8>,
}

/// Starts one. `places` are those of the plan, in its order.
///
/// # Errors
/// [`LookError`] when it cannot be started; no process is left then.
pub fn spawn(
    plan: &LookPlan,
    places: &[OwnedFd],
    environment: &[std::ffi::CString],
) -> Result<Looker, LookError> {
    let program = launcher::find(PROGRAM)?;
    let task_watches = matches!(plan.task, Task::Watch { .. });
    let plan = launcher::sealed(&plan.to_bytes())?;
    let failed = |doing| move |errno: Errno| LookError::Io { doing, cause: errno.into() };
    let (answer, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(failed("make a pipe for an answer"))?;
    rustix::io::ioctl_fionbio(&answer, true).map_err(failed("prepare a pipe for an answer"))?;
    debug_assert_eq!(descriptors::FIRST_PLACE, 5);
    let group = match task_watches {
        true => Some(
            sys::watch_group().map_err(|cause| LookError::Io { doing: "make a group of fanotify", cause })?,
        ),
        false => None,
    };
    let process = launcher::start(Program {
        name: PROGRAM,
        part: None,
        program: &program,
        places: [&plan, &theirs].into_iter().chain(places).chain(&group).map(AsFd::as_fd).collect(),
        group: None,
        environment,
    })?;
    Ok(Looker { process, answer, bytes: Vec::new() })
}

impl Looker {
    /// Reads what is there. `Ok(true)` when the answer is whole; `Ok(false)` when it is to be asked again once
    /// [`Looker::answer`] is readable.
    ///
    /// # Errors
    /// [`LookError`] when it says more than an answer has.
    pub fn read(&mut self) -> Result<bool, LookError> {
        let mut buffer = [0; 64 << 10];
        loop {
            match rustix::io::read(&self.answer, &mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(LookError::Io { doing: "read an answer", cause: errno.into() }),
            }
            if self.bytes.len() > MAX_ANSWER_BYTES {
                return Err(LookError::NoAnswer { why: "it says too much".to_owned() });
            }
        }
    }

    /// The next thing that one says that watches; `None` when there is none yet.
    ///
    /// # Errors
    /// [`LookError`] when it has ended, or says something that it cannot say.
    pub fn sighting(&mut self) -> Result<Option<Sighting>, LookError> {
        let wrong = |why: String| LookError::NoAnswer { why };
        if let Some(sighting) = take_sighting(&mut self.bytes).map_err(|error| wrong(error.to_string()))? {
            return Ok(Some(sighting));
        }
        if self.read()? && self.bytes.is_empty() {
            return Err(wrong("it has ended".to_owned()));
        }
        take_sighting(&mut self.bytes).map_err(|error| wrong(error.to_string()))
    }

    /// Its answer, once that is whole. The process is gone when this returns.
    ///
    /// # Errors
    /// [`LookError::NoAnswer`] when it failed, or says something else.
    pub fn finish<T: Wire>(mut self) -> Result<T, LookError> {
        let answer = T::from_bytes(&std::mem::take(&mut self.bytes));
        if answer.is_ok() {
            // Whoever has closed its answer has said all that counts.
            let _ = rustix::process::pidfd_send_signal(&self.process.pidfd, rustix::process::Signal::KILL);
        }
        let ended = self.end();
        answer.map_err(|error| match ended {
            Some(Ended::Code(0)) => LookError::NoAnswer { why: error.to_string() },
            Some(ended) => LookError::NoAnswer { why: format!("{ended:?}") },
            None => LookError::NoAnswer { why: "it does not end".to_owned() },
        })
    }

    /// Kills it, without waiting for its end.
    pub fn kill(&self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = rustix::process::pidfd_send_signal(&self.process.pidfd, rustix::process::Signal::KILL);
        }
    }

    fn end(&self) -> Option<Ended> {
        // It closed its answer with its last act, or is to be gone.
        let options = rustix::process::WaitIdOptions::EXITED;
        let wait =
            || rustix::process::waitid(rustix::process::WaitId::PidFd(self.process.pidfd.as_fd()), options);
        let status = rustix::io::retry_on_intr(wait).ok()??;
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, Some(signal)) => Ended::Signal(signal),
            (None, None) => Ended::Unknown,
        })
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.kill();
        // One that was waited for before is nobody's child any more, and not waited for again.
        let _ = self.end();
    }
}
