//! What a gate may ask of the kernel: an allow list, since it is one program that we know.
//!
//! A gate that was taken over holds sockets of the host's network that the supervisor connected. What makes
//! them harmless is here: nothing connects, binds or makes a socket, and a datagram carries an address only
//! on the two sockets that answer questions inside the session. Those two keep their numbers, so that no
//! other socket can take their place: they cannot be closed, and descriptors cannot be duplicated.

use super::assemble::{Case, Rule, Test, Verdict};
use agentbox_plan::gate::descriptors::{DNS_UDP_V4, DNS_UDP_V6};
use libc::c_long;

const EPERM: Verdict = Verdict::Errno(libc::EPERM);

/// Calls that are allowed with any arguments.
const ALLOWED: &[c_long] = &[
    // Descriptors that it has.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_splice,
    libc::SYS_pipe2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // Sockets that it has.
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // Memory and time.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Its own end and signals.
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Options of sockets that it sets: level and name. IP_OPTIONS and IPV6_RTHDR are not among them: a source
/// route makes the kernel send a datagram elsewhere than where its socket is connected to.
const OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
];

/// The rules of a gate; every call that is not here is refused.
pub(super) fn rules() -> Vec<Rule> {
    use Test::{AnyOf, Equal};
    let mut rules: Vec<Rule> = ALLOWED
        .iter()
        .map(|number| Rule { number: *number, cases: vec![], otherwise: Verdict::Allow })
        .collect();
    let only = |number: c_long, argument: u8, values: &[i32]| Rule {
        number,
        cases: values
            .iter()
            .map(|value| Case { when: vec![Equal(argument, *value as u32)], then: Verdict::Allow })
            .collect(),
        otherwise: EPERM,
    };
    let never = |number: c_long, when: &[Test]| Rule {
        number,
        cases: when.iter().map(|test| Case { when: vec![*test], then: EPERM }).collect(),
        otherwise: Verdict::Allow,
    };
    let mut answers = only(libc::SYS_sendto, 0, &[DNS_UDP_V4, DNS_UDP_V6]);
    // Without a length there is no address: what is connected sends to where it is connected.
    answers.cases.push(Case { when: vec![Equal(5, 0)], then: Verdict::Allow });
    rules.push(answers);
    rules.push(never(libc::SYS_close, &[Equal(0, DNS_UDP_V4 as u32), Equal(0, DNS_UDP_V6 as u32)]));
    let flags =
        [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD, libc::F_SETPIPE_SZ, libc::F_GETPIPE_SZ];
    rules.push(only(libc::SYS_fcntl, 1, &flags));
    rules.push(only(libc::SYS_ioctl, 1, &[libc::FIONBIO as i32, libc::FIONREAD as i32]));
    let option = |(level, name): &(i32, i32)| Case {
        when: vec![Equal(1, *level as u32), Equal(2, *name as u32)],
        then: Verdict::Allow,
    };
    let options = OPTIONS.iter().map(option).collect();
    rules.push(Rule { number: libc::SYS_setsockopt, cases: options, otherwise: EPERM });
    let executable = AnyOf(2, libc::PROT_EXEC as u32);
    rules.push(never(libc::SYS_mmap, &[executable]));
    rules.push(never(libc::SYS_mprotect, &[executable]));
    rules
}

#[cfg(test)]
mod tests {
    use super::super::assemble::{program, tests::run};
    use super::*;

    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xC000_003E;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xC000_00B7;

    fn allows(number: c_long, arguments: [u64; 6]) -> bool {
        run(&program(&rules(), EPERM), ARCH, number as u32, arguments) == libc::SECCOMP_RET_ALLOW
    }

    #[test]
    fn a_gate_makes_no_connection() {
        for number in [
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_sendmsg,
            libc::SYS_sendmmsg,
            libc::SYS_io_uring_setup,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_execve,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_pidfd_getfd,
            libc::SYS_dup,
            libc::SYS_dup3,
            libc::SYS_close_range,
        ] {
            assert!(!allows(number, [3; 6]), "{number}");
        }
        for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC] {
            assert!(!allows(libc::SYS_fcntl, [5, command as u64, 0, 0, 0, 0]));
        }
    }

    #[test]
    fn only_answers_inside_carry_an_address() {
        let address = 0x7fff_0000_1000;
        for descriptor in 0..40u64 {
            let answers = descriptor == DNS_UDP_V4 as u64 || descriptor == DNS_UDP_V6 as u64;
            assert_eq!(allows(libc::SYS_sendto, [descriptor, 1, 1, 0, address, 16]), answers, "{descriptor}");
            assert!(allows(libc::SYS_sendto, [descriptor, 1, 1, 0, 0, 0]));
            assert_eq!(allows(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0]), !answers, "{descriptor}");
            // The kernel takes an int: bits above do not make it another descriptor.
            assert_eq!(allows(libc::SYS_close, [descriptor | 1 << 32, 0, 0, 0, 0, 0]), !answers);
        }
        assert!(!allows(libc::SYS_sendto, [9, 1, 1, 0, address, 16 | 1 << 40]));
    }

    #[test]
    fn no_option_sends_a_packet_elsewhere() {
        let sets =
            |level: i32, name: i32| allows(libc::SYS_setsockopt, [7, level as u64, name as u64, 0, 0, 0]);
        assert!(sets(libc::IPPROTO_TCP, libc::TCP_NODELAY) && sets(libc::SOL_SOCKET, libc::SO_LINGER));
        for (level, name) in [
            (libc::SOL_IP, libc::IP_OPTIONS),
            (libc::SOL_IP, libc::IP_TRANSPARENT),
            (libc::SOL_IPV6, libc::IPV6_RTHDR),
            (libc::SOL_IPV6, libc::IPV6_2292PKTOPTIONS),
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
            (libc::SOL_SOCKET, libc::SO_MARK),
            (libc::IPPROTO_TCP, libc::TCP_REPAIR),
            (libc::IPPROTO_TCP, libc::TCP_ULP),
        ] {
            assert!(!sets(level, name), "{level} {name}");
        }
    }

    #[test]
    fn no_memory_becomes_a_program() {
        let writable = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        assert!(allows(libc::SYS_mmap, [0, 4096, writable, 0, 0, 0]));
        for number in [libc::SYS_mmap, libc::SYS_mprotect] {
            assert!(!allows(number, [0, 4096, writable | libc::PROT_EXEC as u64, 0, 0, 0]));
        }
    }
}
