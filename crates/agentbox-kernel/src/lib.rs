//! The only place of agentbox that changes the state of the host: one file per mechanism, each with what
//! puts it into force, what takes it back and what observes it.
//!
//! Everything is synchronous and works on descriptors: what is opened once is not looked up a second
//! time. Taking back is idempotent, and goes on after a failure. Policy is decided elsewhere; what comes
//! in here is typed.
//!
//! | file | mechanism |
//! |---|---|
//! | `directory`, `file`, `removal` | the supervisor's directories, files in them, removal of trees |
//! | `lease` | which ids a session gets |
//! | `cgroup` | control groups, version 2 |
//! | `source` | opens what a session is to see, with the right of whom it belongs to |
//! | `pinned` | copies of what a profile puts into a session |
//! | `project` | checks the project directory that a client sent |
//! | `idmap` | whether a file system has id-mapped mounts |
//! | `own` | the file systems in memory that sessions keep their agent's own files in; what is taken back |
//! | `person` | accounts and groups |
//! | `journal` | entries of the system's journal |
//! | `launcher`, `shelf` | starts and finds launchers; low numbers for what they start with |
//! | `layer` | what sessions on an overlay wrote, and how it is looked at |
//! | `inherited` | descriptors that this process was started with |
//! | `console` | the socket between supervisor and launcher |
//! | `gate`, `keys` | starts gates of the network and of keys, and connects to them |
//! | `agent` | connections to a person's ssh-agent, made as that person |
//! | `look` | starts lookers and takes their answer |
//! | `netns` | the network namespace of a session |
//! | `firewall` | the host's table, grants in it, flows |
//! | `nft`, `netlink` | how tables are written; conversations with the kernel |
//! | `reach` | this machine's addresses and networks |
//! | `dial` | sockets for gates |
//! | `posture` | what the kernel shows of a process against what the plan says |
//! | `doctor` | what the machine has and lacks |
//! | `leftovers` | what dead sessions left, and its removal |
//! | `failpoint` | places where a test has the process killed |
//! | `walk`, `mountinfo` | paths of the system's own; the kernel's table of mounts |
//! | `sys` | system calls without a safe wrapper: the only `unsafe` |
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod agent;
pub mod cgroup;
pub mod console;
pub mod dial;
pub mod directory;
pub mod doctor;
pub mod failpoint;
mod file;
pub mod firewall;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gate;
pub mod guard;
pub mod idmap;
pub mod inherited;
pub mod journal;
pub mod keys;
pub mod launcher;
pub mod layer;
pub mod lease;
pub mod leftovers;
pub mod look;
mod mountinfo;
mod netlink;
pub mod netns;
pub mod nft;
pub mod own;
pub mod person;
pub mod pinned;
pub mod posture;
pub mod project;
pub mod reach;
mod removal;
mod shelf;
pub mod source;
#[allow(unsafe_code)]
mod sys;
mod walk;
