//! What a session may not ask of the kernel.
//!
//! A wide deny list rather than an allow list: agents run compilers, browsers and debuggers, and a call
//! that is missing shows as a puzzling failure far away. What is denied is what changes the machine,
//! widens the kernel's attack surface, or walks around another control. Each group says which. `EPERM`
//! where programs expect to lack a right; `ENOSYS` where libc and runtimes fall back to an older call.

use super::assemble::{Case, Rule, Test, Verdict};
use libc::c_long;

const ALLOW: Verdict = Verdict::Allow;
const EPERM: Verdict = Verdict::Errno(libc::EPERM);
const ENOSYS: Verdict = Verdict::Errno(libc::ENOSYS);
const UNSUPPORTED: Verdict = Verdict::Errno(libc::EAFNOSUPPORT);
const ENOMEM: Verdict = Verdict::Errno(libc::ENOMEM);

/// Calls that fail whatever their arguments are.
const DENIED: &[(Verdict, &[c_long])] = &[
    // Mounts: what is listed is what exists. Landlock refuses these as well.
    (
        EPERM,
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_mount_setattr,
            OPEN_TREE_ATTR,
        ],
    ),
    // Other namespaces and other processes' descriptors.
    (EPERM, &[libc::SYS_setns, libc::SYS_pidfd_getfd, libc::SYS_kcmp]),
    // The clock, the name and the running of the machine.
    (
        EPERM,
        &[
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_adjtimex,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
            libc::SYS_reboot,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_acct,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_vhangup,
            libc::SYS_syslog,
        ],
    ),
    // Kernel keyrings are not namespaced: they would connect sessions of one uid range and the host.
    (EPERM, &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl]),
    // Large interfaces with a record of escapes, none needed to build software.
    (
        EPERM,
        &[
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_fanotify_init,
            libc::SYS_fanotify_mark,
            libc::SYS_process_madvise,
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
        ],
    ),
    (
        ENOSYS,
        &[
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            // What it sets up is counted for the whole machine and small (fs.aio-max-nr): one session could
            // leave nothing of it to databases of the host, who know no other way.
            libc::SYS_io_setup,
            libc::SYS_memfd_secret,
            libc::SYS_nfsservctl,
            libc::SYS_lookup_dcookie,
            LSM_SET_SELF_ATTR,
        ],
    ),
    // Files by handle walk around directories that are not mounted.
    (EPERM, &[libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at]),
    // Their arguments lie behind a pointer that a filter cannot read: callers fall back to clone and
    // openat, which are judged below.
    (ENOSYS, &[libc::SYS_clone3, libc::SYS_openat2]),
    #[cfg(target_arch = "x86_64")]
    (EPERM, &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_kexec_file_load]),
    #[cfg(target_arch = "x86_64")]
    (
        ENOSYS,
        &[
            libc::SYS_uselib,
            libc::SYS_ustat,
            libc::SYS_sysfs,
            libc::SYS__sysctl,
            libc::SYS_getpmsg,
            libc::SYS_putpmsg,
            libc::SYS_afs_syscall,
            libc::SYS_tuxcall,
            libc::SYS_security,
            libc::SYS_vserver,
        ],
    ),
];

/// Not yet in libc: numbers are the same on every architecture from 424 on.
const OPEN_TREE_ATTR: c_long = 467;
const LSM_SET_SELF_ATTR: c_long = 460;
const FCHMODAT2: c_long = 452;

/// CLONE_NEW* flags that clone(2) takes; CLONE_NEWTIME shares its bit with the exit signal there.
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
const CLONE_NEWTIME: u32 = 0x80;

/// Set-user-id and set-group-id: such a file in the project would be the person's on the host. A filter does not see
/// that it is a directory whose mode chmod(2) changes.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
/// The bit of O_TMPFILE that is not O_DIRECTORY.
const TMPFILE: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;

/// Bits of a socket's type, below its flags, that are in none of SOCK_STREAM, SOCK_DGRAM and SOCK_RAW (1 to 3)
/// and in each of 4 to 15 (linux/net.h: SOCK_TYPE_MASK).
const BEYOND_RAW: u32 = 0b1100;
/// Bits of which SOCK_STREAM and SOCK_SEQPACKET (1 and 5) have none, and SOCK_DGRAM, SOCK_RAW (2 and 3) and all that
/// is no type of a unix socket have one.
const NEITHER_STREAM_NOR_PACKETS: u32 = 0b1010;

/// The rules of a session.
pub(super) fn session(unix_sockets: bool) -> Vec<Rule> {
    let mut rules = by_argument(unix_sockets);
    rules.extend(denied());
    rules
}

/// The rules of the launcher's outer half: a session's, and no new programs, processes or sockets.
pub(super) fn console() -> Vec<Rule> {
    let mut rules: Vec<Rule> = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_unshare,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_unlinkat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ]
    .into_iter()
    .map(|number| Rule { number, cases: vec![], otherwise: EPERM })
    .collect();
    rules.extend(denied());
    rules
}

/// The rules of a looker: it opens, reads and renames files, and has no business with other processes,
/// sockets or programs.
pub(super) fn look(watches: bool) -> Vec<Rule> {
    // Opening beneath a place; a set-id file of the person's own would be of no use to the person.
    const NEEDED: [c_long; 2] = [libc::SYS_unlinkat, libc::SYS_openat2];
    const TO_WATCH: [c_long; 2] = [libc::SYS_fanotify_mark, libc::SYS_name_to_handle_at];
    let needed = |rule: &Rule| NEEDED.contains(&rule.number) || (watches && TO_WATCH.contains(&rule.number));
    let mut rules: Vec<Rule> = console().into_iter().filter(|rule| !needed(rule)).collect();
    // The launcher's halves start threads; this one program does not.
    for number in [libc::SYS_mknodat, libc::SYS_setuid, libc::SYS_setresuid] {
        if !rules.iter().any(|rule| rule.number == number) {
            rules.push(Rule { number, cases: vec![], otherwise: EPERM });
        }
    }
    rules
}

/// Requests of ioctl(2) that are refused.
const REQUESTS: [u32; 10] = [
    // Typing into the terminal of whoever holds the other end.
    libc::TIOCSTI as u32,
    libc::TIOCLINUX as u32,
    // Subvolumes and snapshots, which anybody may make in a directory of their own, and by which a name comes to be
    // that no hook of the kernel's guard is asked for. btrfs (linux/btrfs.h): BTRFS_IOC_SNAP_CREATE,
    // _SUBVOL_CREATE, _SNAP_DESTROY, and their second versions.
    0x5000_9401,
    0x5000_940e,
    0x5000_940f,
    0x5000_9417,
    0x5000_9418,
    0x5000_943f,
    // bcachefs: BCH_IOCTL_SUBVOLUME_CREATE, _DESTROY.
    0x4020_bc10,
    0x4020_bc11,
];

fn denied() -> impl Iterator<Item = Rule> {
    DENIED.iter().flat_map(|(verdict, numbers)| {
        numbers.iter().map(|number| Rule { number: *number, cases: vec![], otherwise: *verdict })
    })
}

fn refuse(number: c_long, tests: &[&[Test]]) -> Rule {
    refuse_with(EPERM, number, tests)
}

fn refuse_with(verdict: Verdict, number: c_long, tests: &[&[Test]]) -> Rule {
    let cases = tests.iter().map(|when| Case { when: when.to_vec(), then: verdict }).collect();
    Rule { number, cases, otherwise: ALLOW }
}

fn by_argument(unix_sockets: bool) -> Vec<Rule> {
    use Test::{AnyOf, Equal};
    vec![
        // The kernel takes the request as an unsigned int, so only the lower half counts.
        Rule {
            number: libc::SYS_ioctl,
            cases: REQUESTS.iter().map(|at| Case { when: vec![Equal(1, *at)], then: EPERM }).collect(),
            otherwise: ALLOW,
        },
        socket(unix_sockets),
        socketpair(unix_sockets),
        // A user namespace would bring every capability back, towards a large part of the kernel.
        refuse(libc::SYS_clone, &[&[AnyOf(0, NEW_NAMESPACES)]]),
        refuse(libc::SYS_unshare, &[&[AnyOf(0, NEW_NAMESPACES | CLONE_NEWTIME)]]),
        refuse(
            libc::SYS_openat,
            &[&[AnyOf(2, libc::O_CREAT as u32), AnyOf(3, SET_ID)], &[AnyOf(2, TMPFILE), AnyOf(3, SET_ID)]],
        ),
        refuse(libc::SYS_fchmod, &[&[AnyOf(1, SET_ID)]]),
        refuse(libc::SYS_fchmodat, &[&[AnyOf(2, SET_ID)]]),
        refuse(FCHMODAT2, &[&[AnyOf(2, SET_ID)]]),
        refuse(libc::SYS_mknodat, &[&[AnyOf(2, SET_ID)]]),
        #[cfg(target_arch = "x86_64")]
        refuse(
            libc::SYS_open,
            &[&[AnyOf(1, libc::O_CREAT as u32), AnyOf(2, SET_ID)], &[AnyOf(1, TMPFILE), AnyOf(2, SET_ID)]],
        ),
        #[cfg(target_arch = "x86_64")]
        refuse(libc::SYS_creat, &[&[AnyOf(1, SET_ID)]]),
        #[cfg(target_arch = "x86_64")]
        refuse(libc::SYS_chmod, &[&[AnyOf(1, SET_ID)]]),
        #[cfg(target_arch = "x86_64")]
        refuse(libc::SYS_mknod, &[&[AnyOf(1, SET_ID)]]),
        // Huge pages that somebody set aside are not counted as a session's memory, and there are as many as that somebody
        // needs. Who asks goes on without when there are none.
        refuse_with(ENOMEM, libc::SYS_mmap, &[&[AnyOf(3, libc::MAP_HUGETLB as u32)]]),
        refuse_with(ENOMEM, libc::SYS_memfd_create, &[&[AnyOf(1, libc::MFD_HUGETLB)]]),
        refuse_with(ENOMEM, libc::SYS_shmget, &[&[AnyOf(2, libc::SHM_HUGETLB as u32)]]),
        // PID 1 has the agent's ids, and starts what `exec` asks for.
        Rule {
            number: libc::SYS_prlimit64,
            cases: vec![Case { when: vec![Equal(0, 0)], then: ALLOW }],
            otherwise: EPERM,
        },
        // READ_IMPLIES_EXEC and friends weaken hardening of programs that are started afterwards. Left
        // are the default, the query, and no address randomisation (debuggers).
        Rule {
            number: libc::SYS_personality,
            cases: [0, u32::MAX, 0x0004_0000]
                .map(|value| Case { when: vec![Equal(0, value)], then: ALLOW })
                .to_vec(),
            otherwise: EPERM,
        },
    ]
}

/// Internet, routing queries, and unix sockets where none of the host's can be reached.
fn socket(unix_sockets: bool) -> Rule {
    use Test::{AnyOf, Equal};
    let allow = |when: Vec<Test>| Case { when, then: ALLOW };
    let family = |number: i32| Equal(0, number as u32);
    let protocol = |number: i32| Equal(2, number as u32);
    let mut cases = vec![allow(vec![family(libc::AF_NETLINK), protocol(libc::NETLINK_ROUTE)])];
    if unix_sockets {
        cases.push(allow(vec![family(libc::AF_UNIX)]));
    }
    // Other protocols (SCTP, DCCP, …) load kernel modules on demand. With protocol 0 the type names them.
    for (inet, icmp) in [(libc::AF_INET, libc::IPPROTO_ICMP), (libc::AF_INET6, libc::IPPROTO_ICMPV6)] {
        cases.push(Case { when: vec![family(inet), AnyOf(1, BEYOND_RAW)], then: UNSUPPORTED });
        for number in [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, icmp, libc::IPPROTO_MPTCP] {
            cases.push(allow(vec![family(inet), protocol(number)]));
        }
    }
    Rule { number: libc::SYS_socket, cases, otherwise: UNSUPPORTED }
}

/// Pairs of unix sockets. One of datagrams is as good as a socket: each half sends to, connects to and binds any path
/// (unix_dgram_sendmsg of linux/net/unix/af_unix.c). The halves of the other types stay with each other.
fn socketpair(unix_sockets: bool) -> Rule {
    use Test::{AnyOf, Equal};
    let mut cases = vec![Case { when: vec![Equal(0, libc::AF_UNIX as u32)], then: ALLOW }];
    if !unix_sockets {
        cases.insert(0, Case { when: vec![AnyOf(1, NEITHER_STREAM_NOR_PACKETS)], then: UNSUPPORTED });
    }
    Rule { number: libc::SYS_socketpair, cases, otherwise: UNSUPPORTED }
}

#[cfg(test)]
mod tests {
    use super::super::assemble::{program, tests::run};
    use super::*;

    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xC000_003E;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xC000_00B7;

    fn verdict(number: c_long, arguments: [u64; 6]) -> Result<(), i32> {
        verdict_of(&session(true), number, arguments)
    }

    fn verdict_of(rules: &[Rule], number: c_long, arguments: [u64; 6]) -> Result<(), i32> {
        match run(&program(rules, ALLOW), ARCH, number as u32, arguments) {
            libc::SECCOMP_RET_ALLOW => Ok(()),
            other => Err((other & libc::SECCOMP_RET_DATA) as i32),
        }
    }

    #[test]
    fn no_call_is_ruled_twice() {
        let mut numbers: Vec<_> = session(true).iter().map(|rule| rule.number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn requests_are_refused_in_every_spelling() {
        // linux/fs.h: copies of a file that share its blocks, with which cp(1) begins.
        const FICLONE: u64 = 0x4004_9409;
        for high in [0, 1_u64 << 32, u64::from(u32::MAX) << 32] {
            for request in REQUESTS {
                let request = u64::from(request) | high;
                assert_eq!(verdict(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]), Err(libc::EPERM));
            }
            for request in [libc::TIOCGWINSZ, FICLONE] {
                assert_eq!(verdict(libc::SYS_ioctl, [0, request | high, 0, 0, 0, 0]), Ok(()));
            }
        }
    }

    #[test]
    fn set_id_modes_are_refused_only_where_a_mode_is_meant() {
        let create = libc::O_CREAT as u64 | libc::O_WRONLY as u64;
        let at = |flags: u64, mode| verdict(libc::SYS_openat, [0, 0, flags, mode, 0, 0]);
        assert_eq!(at(create, 0o644), Ok(()));
        assert_eq!(at(create, 0o4755), Err(libc::EPERM));
        assert_eq!(at(create, 0o2755), Err(libc::EPERM));
        assert_eq!(at(libc::O_TMPFILE as u64, 0o4755), Err(libc::EPERM));
        // Without O_CREAT the fourth argument is whatever was in the register.
        assert_eq!(at(0, 0o4755), Ok(()));
        assert_eq!(at(libc::O_DIRECTORY as u64, 0o6000), Ok(()));
        assert_eq!(verdict(libc::SYS_fchmodat, [0, 0, 0o1777, 0, 0, 0]), Ok(()));
        assert_eq!(verdict(libc::SYS_fchmodat, [0, 0, 0o6755, 0, 0, 0]), Err(libc::EPERM));
        assert_eq!(verdict(FCHMODAT2, [0, 0, 0o2000, 0, 0, 0]), Err(libc::EPERM));
        assert_eq!(verdict(libc::SYS_mknodat, [0, 0, 0o2644, 0, 0, 0]), Err(libc::EPERM));
        assert_eq!(verdict(libc::SYS_mkdirat, [0, 0, 0o2775, 0, 0, 0]), Ok(()));
    }

    #[test]
    fn namespaces_are_refused_and_threads_are_not() {
        let threads = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD;
        assert_eq!(verdict(libc::SYS_clone, [threads as u64, 0, 0, 0, 0, 0]), Ok(()));
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWPID] {
            let flag = flag as u32 as u64;
            assert_eq!(verdict(libc::SYS_clone, [flag | 17, 0, 0, 0, 0, 0]), Err(libc::EPERM));
            assert_eq!(verdict(libc::SYS_unshare, [flag, 0, 0, 0, 0, 0]), Err(libc::EPERM));
        }
        assert_eq!(verdict(libc::SYS_unshare, [libc::CLONE_FILES as u64, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(verdict(libc::SYS_clone3, [0; 6]), Err(libc::ENOSYS));
    }

    #[test]
    fn only_four_families_have_sockets() {
        let socket = |family: i32, protocol: i32| {
            verdict(libc::SYS_socket, [family as u64, 1, protocol as u64, 0, 0, 0])
        };
        for family in 0..64 {
            let expected = match family {
                libc::AF_UNIX | libc::AF_INET | libc::AF_INET6 | libc::AF_NETLINK => Ok(()),
                _ => Err(libc::EAFNOSUPPORT),
            };
            assert_eq!(socket(family, 0), expected, "family {family}");
        }
        assert_eq!(socket(libc::AF_NETLINK, libc::NETLINK_NETFILTER), Err(libc::EAFNOSUPPORT));
        assert_eq!(socket(libc::AF_INET, libc::IPPROTO_SCTP), Err(libc::EAFNOSUPPORT));
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        for (kind, flags, high) in
            (0..16).flat_map(|kind| [(kind, 0, 0), (kind, flags, 0), (kind, flags, 1_u64 << 32)])
        {
            let expected = if kind < 4 { Ok(()) } else { Err(libc::EAFNOSUPPORT) };
            for inet in [libc::AF_INET, libc::AF_INET6] {
                let arguments = [inet as u64, (kind | flags) as u64 | high, 0, 0, 0, 0];
                assert_eq!(verdict(libc::SYS_socket, arguments), expected, "type {kind}");
            }
            let unix = [libc::AF_UNIX as u64, (kind | flags) as u64, 0, 0, 0, 0];
            assert_eq!(verdict(libc::SYS_socket, unix), Ok(()));
        }
        let hidden = session(false);
        let unix = [libc::AF_UNIX as u64, 1, 0, 0, 0, 0];
        assert_eq!(verdict_of(&hidden, libc::SYS_socket, unix), Err(libc::EAFNOSUPPORT));
    }

    #[test]
    fn huge_pages_and_limits_of_others_are_refused() {
        for (number, argument, bit) in [
            (libc::SYS_mmap, 3, libc::MAP_HUGETLB as u64),
            (libc::SYS_memfd_create, 1, u64::from(libc::MFD_HUGETLB)),
            (libc::SYS_shmget, 2, libc::SHM_HUGETLB as u64),
        ] {
            let mut arguments = [0; 6];
            arguments[argument] = !bit & 0xffff_ffff;
            assert_eq!(verdict(number, arguments), Ok(()), "call {number}");
            arguments[argument] = bit | 1;
            assert_eq!(verdict(number, arguments), Err(libc::ENOMEM), "call {number}");
        }
        assert_eq!(verdict(libc::SYS_prlimit64, [0, 7, 0, 0, 0, 0]), Ok(()));
        assert_eq!(verdict(libc::SYS_prlimit64, [1, 7, 0, 0, 0, 0]), Err(libc::EPERM));
    }

    #[test]
    fn where_sockets_of_the_host_are_no_pair_reaches_one() {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        for (kind, flags) in (0..16).flat_map(|kind| [(kind, 0), (kind, flags)]) {
            let pair = [libc::AF_UNIX as u64, (kind | flags) as u64, 0, 0, 0, 0];
            assert_eq!(verdict(libc::SYS_socketpair, pair), Ok(()));
            let stays = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET].contains(&kind);
            // The kernel has no pairs of the types 0 and 4, and nothing that one could do.
            if kind != 0 && kind != 4 {
                assert_eq!(
                    verdict_of(&session(false), libc::SYS_socketpair, pair).is_ok(),
                    stays,
                    "type {kind}"
                );
            }
        }
        assert!(verdict(libc::SYS_socketpair, [libc::AF_TIPC as u64, 1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn the_console_starts_nothing() {
        let console = console();
        for number in
            [libc::SYS_execve, libc::SYS_execveat, libc::SYS_clone3, libc::SYS_socket, libc::SYS_socketpair]
        {
            assert!(verdict_of(&console, number, [0; 6]).is_err(), "call {number}");
        }
        for number in [libc::SYS_read, libc::SYS_write, libc::SYS_ppoll, libc::SYS_sendmsg, libc::SYS_accept4]
        {
            assert_eq!(verdict_of(&console, number, [0; 6]), Ok(()), "call {number}");
        }
    }
}
