//! What holds an attack: the controls of agentbox, and which of them stands in whose way.

/// A control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its name in JSON.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// The controls of Claudecker's table that it stands for.
    pub claudecker: &'static str,
}

/// All of them, in the order of the table.
pub const HOLDERS: &[Holder] = &[
    Holder {
        id: "files",
        name: "files are a list",
        what: "What is not on the list of mounts does not exist inside; what is, is read-only. At L1 the host's files are \
               read-only and credentials hidden.",
        claudecker: "Docker container isolation",
    },
    Holder {
        id: "home",
        name: "a home of its own",
        what: "The home is private, empty and forgotten; settings of agents are made anew and read-only.",
        claudecker: "Ephemeral containers, runtime settings rebuild, skills hash caching",
    },
    Holder {
        id: "namespaces",
        name: "namespaces",
        what: "Processes, System V and POSIX objects, abstract sockets, host name and control groups of its own.",
        claudecker: "Docker container isolation, volume isolation per profile",
    },
    Holder {
        id: "identity",
        name: "an identity of its own",
        what: "A leased uid, no group of the person's, no capability in any set, no_new_privs. At L1 the person's uid.",
        claudecker: "Non-root user + scoped sudo",
    },
    Holder {
        id: "calls",
        name: "system calls",
        what: "seccomp and Landlock: calls, sockets and requests that programs do not need are not there.",
        claudecker: "Docker container isolation",
    },
    Holder {
        id: "kernel-files",
        name: "the kernel's files",
        what: "/dev, /proc and /sys show what programs need and can change nothing of the machine.",
        claudecker: "Docker container isolation",
    },
    Holder {
        id: "network",
        name: "the gate",
        what: "A network with loopback only. Every connection ends at a gate that judges names; internal networks and this \
               machine are refused, on IPv4 and IPv6 alike.",
        claudecker: "iptables allowlist firewall, network lockdown (domain allowlist)",
    },
    Holder {
        id: "credentials",
        name: "no credentials",
        what: "Variables pass by name, keyrings and agents are not there; a granted ssh-agent signs for chosen hosts only.",
        claudecker: "SSH agent forwarding (no key files)",
    },
    Holder {
        id: "workspace",
        name: "the project is held",
        what: "git's hooks and attributes are mounts; trigger files are refused by the kernel, or freeze the session and are \
               told, or wait in a layer.",
        claudecker: "",
    },
    Holder {
        id: "terminal",
        name: "the terminal",
        what: "What a program prints is filtered by a process without rights: it writes no clipboard and types nothing.",
        claudecker: "",
    },
    Holder {
        id: "limits",
        name: "limits",
        what: "Numbers of processes and descriptors, core dumps, locked memory, preference of the out-of-memory killer.",
        claudecker: "",
    },
];

/// Beginnings of attacks' names with what holds them; the longest that fits counts.
const HELD: &[(&str, &str)] = &[
    ("t1.", "files"),
    ("t1.block-device", "kernel-files"),
    ("t1.core-pattern", "kernel-files"),
    ("t1.device-", "kernel-files"),
    ("t1.inherited-descriptor", "credentials"),
    ("t1.kernel-settings", "kernel-files"),
    ("t1.make-device", "calls"),
    ("t1.bind-mount", "calls"),
    ("t1.move-git-aside", "workspace"),
    ("t1.move-mount", "calls"),
    ("t1.open-by-handle", "calls"),
    ("t1.proc-unmasked", "kernel-files"),
    ("t1.remount", "calls"),
    ("t1.through-proc", "namespaces"),
    ("t1.unmount", "calls"),
    ("t1.written-as-another", "identity"),
    ("t2.", "network"),
    ("t2.add-", "identity"),
    ("t2.change-", "identity"),
    ("t2.display", "namespaces"),
    ("t2.enter-network", "calls"),
    ("t2.namespace-of-socket", "calls"),
    ("t4.", "credentials"),
    ("t4.add-key", "calls"),
    ("t4.browser-profile", "files"),
    ("t4.cloud-credentials", "files"),
    ("t4.first-process", "namespaces"),
    ("t4.gpg-keys", "files"),
    ("t4.keyctl", "calls"),
    ("t4.keyring-files", "files"),
    ("t4.memory-file", "namespaces"),
    ("t4.other-environments", "namespaces"),
    ("t4.read-memory", "namespaces"),
    ("t4.request-key", "calls"),
    ("t4.shell-history", "files"),
    ("t4.ssh-keys", "files"),
    ("t4.take-descriptor", "namespaces"),
    ("t4.token-files", "files"),
    ("t4.trace-process", "namespaces"),
    ("t4.write-memory", "namespaces"),
    ("t5.", "network"),
    ("t5.abstract-socket", "namespaces"),
    ("t6.", "home"),
    ("t6.clipboard", "terminal"),
    ("t6.console-requests", "calls"),
    ("t6.git-attributes", "workspace"),
    ("t6.git-directory", "workspace"),
    ("t6.git-hook", "workspace"),
    ("t6.git-info", "workspace"),
    ("t6.insert-keystrokes", "calls"),
    ("t6.scheduled", "files"),
    ("t6.subvolumes", "calls"),
    ("t6.system-bus", "files"),
    ("t6.trigger-", "workspace"),
    ("t7.", "calls"),
    ("t7.ambient-capability", "identity"),
    ("t7.become-", "identity"),
    ("t7.bounding-set", "identity"),
    ("t7.capability-sets", "identity"),
    ("t7.cgroup-", "namespaces"),
    ("t7.console", "terminal"),
    ("t7.container-sockets", "files"),
    ("t7.core-dumps", "limits"),
    ("t7.locked-memory", "limits"),
    ("t7.many-processes", "limits"),
    ("t7.network-devices", "network"),
    ("t7.new-privileges", "identity"),
    ("t7.out-of-memory", "limits"),
    ("t7.person-", "identity"),
    ("t7.posture", "identity"),
    ("t7.raise-out-of-memory", "limits"),
    ("t7.set-groups", "identity"),
    ("t7.set-id-program", "identity"),
    ("t7.supervisor-bus", "files"),
    ("t7.system-set-id", "identity"),
    ("t7.umask", "limits"),
    ("t8.", "namespaces"),
    ("t8.host-name-read", "files"),
    ("t8.launcher-environment", "credentials"),
    ("t8.mounts-tell-paths", "files"),
    ("t8.path-sockets", "files"),
    ("t8.datagram-sockets", "files"),
    ("t8.shared-files", "files"),
    ("t8.supervisor-files", "files"),
];

/// T3 has no attacks of its own: what a package runs, it runs inside, and tries these.
const OF_PACKAGES: &[&str] = &[
    "t1.read-",
    "t1.write-",
    "t4.canary-environment",
    "t4.cloud-credentials",
    "t4.secret-environment",
    "t4.ssh-keys",
    "t4.token-files",
    "t6.local-program",
    "t6.package-files",
    "t7.container-sockets",
    "t7.set-id-program",
    "t7.system-set-id",
];

/// What holds the attack of this name.
#[must_use]
pub fn of(attack: &str) -> &'static Holder {
    let fitting = HELD.iter().filter(|(start, _)| attack.starts_with(start));
    let id = fitting.max_by_key(|(start, _)| start.len()).map_or("files", |(_, id)| id);
    HOLDERS.iter().find(|holder| holder.id == id).unwrap_or(&HOLDERS[0])
}

/// Whether it is also what a compromised package would try.
pub(crate) fn is_of_packages(attack: &str) -> bool {
    OF_PACKAGES.iter().any(|start| attack.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_holds_something_and_every_name_is_one() {
        for holder in HOLDERS {
            assert!(HELD.iter().any(|(_, id)| *id == holder.id), "{} holds nothing", holder.id);
        }
        for (start, id) in HELD {
            assert!(HOLDERS.iter().any(|holder| holder.id == *id), "{start}: {id}");
        }
    }

    #[test]
    fn the_longest_beginning_counts() {
        assert_eq!(of("t1.read-planted-key").id, "files");
        assert_eq!(of("t1.device-kvm").id, "kernel-files");
        assert_eq!(of("t7.bpf").id, "calls");
        assert_eq!(of("t7.bounding-set").id, "identity");
    }
}
