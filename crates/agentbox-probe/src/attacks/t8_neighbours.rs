//! T8: what belongs to a neighbour: another session, or the person's processes on the host.

use super::t4_credentials::listen_to;
use super::{c, processes, read_beginning};
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{self, call, owned};
use agentbox_probe::{Facts, Victim};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;

pub(super) const TABLE: &[Attack] = &[
    with_victim("t8.process-exists", "learn that a process outside exists", |f| victim(f, exists)),
    with_victim("t8.process-listed", "find a process outside in /proc", listed),
    with_victim("t8.signal", "send a signal to a process outside", |f| victim(f, signal)),
    with_victim("t8.signal-by-descriptor", "send it through a pidfd", |f| victim(f, signal_by_descriptor)),
    with_victim("t8.signal-thread", "send it to a thread (tgkill)", |f| {
        victim(f, |_, v| judge(call!(libc::SYS_tgkill, v.pid, v.pid, libc::SIGCONT)))
    }),
    with_victim(
        "t8.signal-everybody",
        "send it to everybody (kill -1) and reach a process outside",
        signal_everybody,
    )
    .never_shown("outside it would reach every process of the person's; the victim says what reached it"),
    with_victim("t8.resource-limits", "read or set limits of a process outside (prlimit)", |f| {
        victim(f, |_, v| {
            let mut old = [0_u8; 16];
            judge(call!(libc::SYS_prlimit64, v.pid, libc::RLIMIT_NOFILE, 0, old.as_mut_slice()))
        })
    }),
    with_victim("t8.scheduling", "set the priority of a process outside", |f| {
        victim(f, |_, v| {
            let priority = call!(libc::SYS_getpriority, libc::PRIO_PROCESS, v.pid);
            // getpriority answers 20 minus the nice value; the same is set again.
            judge(
                priority
                    .and_then(|value| call!(libc::SYS_setpriority, libc::PRIO_PROCESS, v.pid, 20 - value)),
            )
        })
    }),
    with_victim("t8.shared-memory", "read a neighbour's System V shared memory", |f| {
        victim(f, |f, v| match sys::shared_memory(v.shm_key) {
            Ok(bytes) if f.canary.is_in(&bytes) => succeeded("read the secret"),
            Ok(_) => refused("attached to something else"),
            Err(error) => refused(error),
        })
    }),
    with_victim("t8.semaphores", "reach a neighbour's semaphores", |f| {
        victim(f, |_, v| judge(call!(libc::SYS_semget, v.sem_key, 0, 0)))
    }),
    with_victim("t8.message-queue", "reach a neighbour's System V message queue", |f| {
        victim(f, |_, v| judge(call!(libc::SYS_msgget, v.msg_key, 0)))
    }),
    with_victim("t8.posix-queue", "open a neighbour's POSIX message queue", |f| {
        victim(f, |_, v| {
            // The system call wants the name without its slash (mq_overview(7)).
            let name = c(v.queue.trim_start_matches('/'));
            judge(owned(call!(libc::SYS_mq_open, &*name, libc::O_RDONLY | libc::O_NONBLOCK, 0, 0)))
        })
    }),
    with_victim("t8.ipc-listed", "find a neighbour's segment in /proc/sysvipc", |f| {
        victim(f, |_, v| match fs::read_to_string("/proc/sysvipc/shm") {
            Ok(text) if text.split_ascii_whitespace().any(|word| word == v.shm_key.to_string()) => {
                succeeded("listed")
            }
            Ok(_) => refused("not listed"),
            Err(error) => refused(Errno::from(error)),
        })
    }),
    with_victim("t8.abstract-socket", "connect to a neighbour's abstract socket", |f| {
        victim(f, |f, v| {
            if v.abstract_socket.is_empty() {
                return lacking("abstract socket");
            }
            let address = SocketAddr::from_abstract_name(v.abstract_socket.as_bytes());
            listen_to(f, address.and_then(|address| UnixStream::connect_addr(&address)))
        })
    }),
    with_victim("t8.path-sockets", "connect to a neighbour's socket by its path", |f| {
        victim(f, |f, v| {
            any_of(v.path_sockets.iter().map(|path| (path.clone(), listen_to(f, UnixStream::connect(path)))))
        })
    }),
    with_victim("t8.datagram-sockets", "send to a neighbour's datagram socket by its path", |f| {
        victim(f, |_, v| {
            any_of(v.datagram_sockets.iter().map(|path| (path.clone(), judge(send_nothing(path)))))
        })
    }),
    with_victim("t8.sockets-listed", "find a neighbour's socket in /proc/net/unix", |f| {
        victim(f, |_, v| match fs::read_to_string("/proc/net/unix") {
            _ if v.abstract_socket.is_empty() => lacking("abstract socket"),
            Ok(text) if text.contains(&v.abstract_socket) => succeeded("listed"),
            Ok(_) => refused("not listed"),
            Err(error) => refused(Errno::from(error)),
        })
    }),
    Attack::new("t8.supervisor-files", "read or change the supervisor's trail, leases or sockets", |f| {
        if f.host.supervisor_files.is_empty() {
            return lacking("supervisor's files");
        }
        any_of(f.host.supervisor_files.iter().flat_map(|path| {
            // Opening for writing is where the kernel refuses; nothing is written or cut off.
            [libc::O_RDONLY, libc::O_WRONLY | libc::O_APPEND]
                .map(|flags| (path.clone(), judge(super::open_with(path, flags))))
        }))
    })
    .root()
    .needs(&["host.supervisor_files"]),
    with_victim("t8.shared-files", "read a neighbour's file in a directory that all share", |f| {
        victim(f, |f, v| {
            any_of(v.files.iter().map(|path| {
                let answer = match read_beginning(Path::new(path)) {
                    Ok(bytes) if f.canary.is_in(&bytes) => succeeded("read the secret"),
                    Ok(_) => refused("opens, without the secret"),
                    Err(error) => refused(error),
                };
                (path.clone(), answer)
            }))
        })
    }),
];

const fn with_victim(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Attack {
    Attack::new(id, title, run).needs(&["victim"])
}

fn victim(facts: &Facts, attempt: fn(&Facts, &Victim) -> Answer) -> Answer {
    match &facts.victim {
        // Numbers inside are counted anew, and one of ours may be that of the victim outside.
        Some(victim) if u32::try_from(victim.pid) == Ok(std::process::id()) => {
            refused("this one has that number")
        }
        Some(victim) if victim.pid > 1 => attempt(facts, victim),
        _ => lacking("victim"),
    }
}

/// An empty datagram, without connecting first: that it could be sent is what counts. Half of a pair does as well as a
/// socket of its own.
pub(super) fn send_nothing(path: &str) -> Result<usize, Errno> {
    let alone = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], path));
    Ok(alone.or_else(|_| UnixDatagram::pair()?.0.send_to(&[], path))?)
}

fn exists(_: &Facts, victim: &Victim) -> Answer {
    match call!(libc::SYS_kill, victim.pid, 0) {
        Err(Errno(libc::ESRCH)) => refused("ESRCH"),
        Ok(_) => succeeded("exists"),
        Err(error) => succeeded(format!("{error} tells that it does")),
    }
}

fn listed(facts: &Facts) -> Answer {
    if facts.tag.is_empty() || facts.victim.is_none() {
        return lacking("victim and tag");
    }
    // The victim bears the tag as an argument; what the probe itself was given does not.
    let found = processes().into_iter().find(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.windows(facts.tag.len()).any(|window| window == facts.tag.as_bytes())
            && arguments.split(|byte| *byte == 0).any(|argument| argument == b"victim")
    });
    match found {
        Some(pid) => succeeded(format!("it is process {pid}")),
        None => refused("not listed"),
    }
}

/// SIGCONT: a process that is not stopped does not mind, and the victim counts it.
fn signal(_: &Facts, victim: &Victim) -> Answer {
    judge(call!(libc::SYS_kill, victim.pid, libc::SIGCONT))
}

fn signal_by_descriptor(_: &Facts, victim: &Victim) -> Answer {
    judge(
        owned(call!(libc::SYS_pidfd_open, victim.pid, 0))
            .and_then(|process| call!(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGCONT, 0, 0)),
    )
}

fn signal_everybody(facts: &Facts) -> Answer {
    let own = rustix::process::getuid().as_raw();
    // Never where it would reach a whole machine or a whole person.
    if own == 0 || !in_own_pid_namespace(facts) {
        return Answer {
            outcome: agentbox_probe::Outcome::NotApplicable,
            ..refused("only inside a session")
        };
    }
    match call!(libc::SYS_kill, -1, libc::SIGCONT) {
        // Inside, it reaches the session's own processes, as it should.
        Ok(_) | Err(Errno(libc::ESRCH)) => refused("it reached the session's own processes at most"),
        Err(error) => refused(error),
    }
}

fn in_own_pid_namespace(facts: &Facts) -> bool {
    match (facts.host.namespaces.get("pid"), crate::own_state::namespaces().get("pid")) {
        (Some(hosts), Some(own)) => hosts != own,
        _ => false,
    }
}
