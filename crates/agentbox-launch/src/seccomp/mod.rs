//! The system call filter of a session.
//!
//! `assemble` turns a list of rules into a BPF program; `rules` says what is refused. An own assembler,
//! because the ones at hand compare whole 64-bit arguments or do not look for the x32 bit, and each of
//! those is a known way around a filter (docs/decisions/0004).

mod assemble;
mod gate;
mod keys;
mod rules;

use crate::step::{InStep, StepError};
use crate::sys;
use assemble::Verdict;

/// Loads the filter of the agent and of PID 1.
///
/// # Errors
/// When the kernel refuses the program (no_new_privs missing, no seccomp).
pub(crate) fn confine_session(unix_sockets: bool) -> Result<(), StepError> {
    sys::load_filter(&assemble::program(&rules::session(unix_sockets), Verdict::Allow))
        .step("system call filter")
}

/// Loads the filter of the launcher's outer half, which also never starts a program or makes a socket.
///
/// # Errors
/// As [`confine_session`].
pub(crate) fn confine_console() -> Result<(), StepError> {
    sys::load_filter(&assemble::program(&rules::console(), Verdict::Allow))
        .step("system call filter of the console")
}

/// Loads the filter of a looker.
///
/// # Errors
/// As [`confine_session`].
pub(crate) fn confine_look(watches: bool) -> Result<(), StepError> {
    sys::load_filter(&assemble::program(&rules::look(watches), Verdict::Allow))
        .step("system call filter of the looker")
}

/// Loads the filter of a gate, which is a list of what it may do.
///
/// # Errors
/// As [`confine_session`].
pub(crate) fn confine_gate() -> Result<(), StepError> {
    let filter = assemble::program(&gate::rules(), Verdict::Errno(libc::EPERM));
    sys::load_filter(&filter).step("system call filter of the gate")
}

/// Loads the filter of a gate of keys, which is a shorter list.
///
/// # Errors
/// As [`confine_session`].
pub(crate) fn confine_keys() -> Result<(), StepError> {
    let filter = assemble::program(&keys::rules(), Verdict::Errno(libc::EPERM));
    sys::load_filter(&filter).step("system call filter of the gate of keys")
}
