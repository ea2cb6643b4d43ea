//! Everything the launcher puts into force, in one value.

use crate::wire::{MAGIC, Reader, Wire, WireError, wire_enum, wire_struct};
use crate::{Mount, Process, SessionId};
use std::ffi::CString;

/// Everything that the launcher puts into force for a session. No whole plan, no start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The session.
    pub session: SessionId,
    /// Name of its posture, shown in front of terminal titles.
    pub label: String,
    /// Under which ids its processes run.
    pub identity: Identity,
    /// What holds it.
    pub confinement: Confinement,
    /// Resource limits of every process.
    pub limits: Vec<Limit>,
    /// Preference of the out-of-memory killer, -1000 to 1000 (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: i32,
    /// File mode creation mask.
    pub umask: u32,
    /// The agent.
    pub process: Process,
}

wire_struct! {
    /// The ids of a session on the host.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Identity {
        /// Of the agent and all that it starts, and of the launcher as their PID 1.
        pub agent: Ids,
        /// Of the launcher's outer half, which reads what the agent writes to its terminal.
        pub console: Ids,
    }
}

wire_struct! {
    /// User, group and supplementary groups.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Ids {
        /// User.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Supplementary groups; none for leased ids.
        pub groups: Vec<u32>,
    }
}

wire_enum! {
    /// Whether and how a session is held.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Confinement {
        /// Posture L0: runs as the caller on the host, audited only.
        1 = None,
        /// Namespaces, mounts, Landlock, seccomp.
        2 = Sandbox {
            /// Its parts.
            sandbox: Sandbox,
        },
    }
}

wire_struct! {
    /// The parts of a sandbox. All namespaces (mount, pid, ipc, uts, cgroup, net), an empty capability
    /// set, no_new_privs, Landlock and seccomp are not options: every sandbox has them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Sandbox {
        /// Host name inside.
        pub hostname: CString,
        /// The network namespace.
        pub network: NetworkNamespace,
        /// Maps through which binds see owners.
        pub idmaps: Vec<IdMap>,
        /// The file system, in order.
        pub mounts: Vec<Mount>,
        /// Whether sockets of the unix family can be made; pairs that cannot reach another one always can.
        /// False where sockets of the host could be reached by path (posture L1).
        pub unix_sockets: bool,
    }
}

wire_enum! {
    /// Where a session's network namespace comes from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NetworkNamespace {
        /// The launcher makes one, in which there is a loopback interface and nothing else.
        1 = Empty,
        /// The supervisor made one with a gate, and hands it over as
        /// [`descriptors::NETWORK`](crate::descriptors::NETWORK).
        2 = Prepared,
    }
}

wire_struct! {
    /// How owners on disk appear inside: pairs of (id on disk, id inside).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct IdMap {
        /// User ids.
        pub users: Vec<(u32, u32)>,
        /// Group ids.
        pub groups: Vec<(u32, u32)>,
    }
}

impl Wire for (u32, u32) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((u32::get(input)?, u32::get(input)?))
    }
}

wire_struct! {
    /// A resource limit, soft and hard alike (setrlimit(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Limit {
        /// What is limited.
        pub kind: LimitKind,
        /// Soft limit; `u64::MAX` is unlimited.
        pub soft: u64,
        /// Hard limit; `u64::MAX` is unlimited. When the launcher may not raise its own hard limit
        /// that far, its own is taken.
        pub hard: u64,
    }
}

wire_enum! {
    /// What a [`Limit`] limits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LimitKind {
        /// Bytes of a core dump.
        1 = Core,
        /// Open descriptors of a process.
        2 = OpenFiles,
        /// Processes and threads of the session's uid.
        3 = Processes,
        /// Bytes of locked memory.
        4 = LockedMemory,
        /// Bytes of POSIX message queues.
        5 = MessageQueues,
        /// How far a process may raise its own priority (20 less the least nice value).
        6 = Niceness,
        /// Real-time priority.
        7 = RealTime,
    }
}

impl Wire for Plan {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.session.put(out);
        self.label.put(out);
        self.identity.put(out);
        self.confinement.put(out);
        self.limits.put(out);
        self.oom_score_adj.put(out);
        self.umask.put(out);
        self.process.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        for byte in MAGIC {
            if u8::get(input)? != *byte {
                return Err(input.invalid("plan of this version"));
            }
        }
        Ok(Self {
            session: Wire::get(input)?,
            label: Wire::get(input)?,
            identity: Wire::get(input)?,
            confinement: Wire::get(input)?,
            limits: Wire::get(input)?,
            oom_score_adj: Wire::get(input)?,
            umask: Wire::get(input)?,
            process: Wire::get(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Bytes;
    use crate::{Access, InnerPath, Owner, SourceIndex, Streams, TerminalSize};

    fn path(text: &str) -> InnerPath {
        InnerPath::new(text).unwrap()
    }

    fn plan() -> Plan {
        let ids = |id| Ids { uid: id, gid: id, groups: vec![] };
        Plan {
            session: "abc".parse().unwrap(),
            label: "L2".to_owned(),
            identity: Identity { agent: ids(1000), console: ids(1001) },
            confinement: Confinement::Sandbox {
                sandbox: Sandbox {
                    hostname: c"box".into(),
                    network: NetworkNamespace::Prepared,
                    idmaps: vec![IdMap { users: vec![(1000, 5)], groups: vec![(100, 6), (101, 7)] }],
                    mounts: vec![
                        Mount::Bind {
                            source: SourceIndex { index: 3 },
                            target: path("/usr"),
                            access: Access::ReadOnly,
                            recursive: true,
                            idmap: Some(0),
                        },
                        Mount::File {
                            path: path("/etc/hosts"),
                            mode: 0o644,
                            owner: Owner::Root,
                            content: Bytes(b"127.0.0.1 localhost\n".to_vec()),
                        },
                        Mount::Symlink { path: path("/bin"), to: c"usr/bin".into() },
                        Mount::Proc { target: path("/proc") },
                    ],
                    unix_sockets: true,
                },
            },
            limits: vec![Limit { kind: LimitKind::Core, soft: 0, hard: 0 }],
            oom_score_adj: -5,
            umask: 0o22,
            process: Process {
                arguments: vec![c"sh".into()],
                environment: vec![c"A=b".into()],
                directory: path("/"),
                streams: Streams::TERMINAL,
                size: TerminalSize { rows: 24, columns: 80 },
            },
        }
    }

    #[test]
    fn a_plan_survives_the_encoding() {
        assert_eq!(Plan::from_bytes(&plan().to_bytes()), Ok(plan()));
    }

    #[test]
    fn every_shorter_plan_is_refused() {
        let bytes = plan().to_bytes();
        for length in 0..bytes.len() {
            assert!(Plan::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_plan_of_another_version_is_refused() {
        let mut bytes = plan().to_bytes();
        bytes[7] += 1;
        assert!(Plan::from_bytes(&bytes).is_err());
    }
}
