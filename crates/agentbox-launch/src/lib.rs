//! First process of a session, and how the other programs that meet untrusted bytes confine themselves.
//!
//! Started by the supervisor with the descriptors of `agentbox_plan::descriptors` and nothing else. The
//! outer half (`outer`) reads the plan, clones the inner half into its namespaces and keeps the console;
//! the inner half (`confine`, then `init`) confines itself and becomes PID 1 of the agent.
//!
//! | file | responsible for |
//! |---|---|
//! | `outer` | the outer half up to the console |
//! | `console` | streams, terminals and clients of a running session |
//! | `confine` | the order of the confinement steps |
//! | `tree`, `idmap`, `overlay` | mounts |
//! | `privileges` | ids, capabilities, limits |
//! | `landlock`, `seccomp` | what the kernel refuses |
//! | `init`, `child` | PID 1 and its processes |
//! | `gate`, `keys` | the way of a gate to a process without rights |
//! | `gate` | the way of a network gate to a process without rights |
//! | `look` | the way of a looker to a process with a person's rights and no more |
//! | `step` | errors with the name of the step |
//! | `sys` | system calls; the only `unsafe` |

mod child;
mod confine;
mod console;
pub mod gate;
mod idmap;
mod init;
pub mod keys;
mod landlock;
pub mod look;
mod outer;
mod overlay;
mod privileges;
mod seccomp;
mod step;
mod sys;
mod tree;

#[cfg(fuzzing)]
pub use console::shown;
pub use step::in_force;

/// Runs the launcher: the outer half of a session, to its end. Returns its exit status.
#[must_use]
pub fn run() -> u8 {
    outer::run()
}
