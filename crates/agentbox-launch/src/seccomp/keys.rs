//! What a gate of keys may ask of the kernel: an allow list, shorter than that of a gate of the network.
//!
//! What it holds is connections of the session and connections to the person's ssh-agent. It can read, write,
//! accept and close them; it cannot make, connect, hand on or duplicate one.

use super::assemble::{Case, Rule, Test, Verdict};
use libc::c_long;

const EPERM: Verdict = Verdict::Errno(libc::EPERM);

/// Calls that are allowed with any arguments.
const ALLOWED: &[c_long] = &[
    // Descriptors that it has.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    // Sockets that it has.
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    // Memory and time.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
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

/// The rules of a gate of keys; every call that is not here is refused.
pub(super) fn rules() -> Vec<Rule> {
    use Test::{AnyOf, Equal};
    let mut rules: Vec<Rule> = ALLOWED
        .iter()
        .map(|number| Rule { number: *number, cases: vec![], otherwise: Verdict::Allow })
        .collect();
    let only = |number: c_long, when: Vec<Vec<Test>>| Rule {
        number,
        cases: when.into_iter().map(|when| Case { when, then: Verdict::Allow }).collect(),
        otherwise: EPERM,
    };
    // Without a length there is no address.
    rules.push(only(libc::SYS_sendto, vec![vec![Equal(5, 0)]]));
    let flags = [libc::F_GETFL, libc::F_SETFL];
    rules.push(only(libc::SYS_fcntl, flags.iter().map(|flag| vec![Equal(1, *flag as u32)]).collect()));
    // Who its client is.
    let peer = vec![Equal(1, libc::SOL_SOCKET as u32), Equal(2, libc::SO_PEERCRED as u32)];
    rules.push(only(libc::SYS_getsockopt, vec![peer]));
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        let executable = Case { when: vec![AnyOf(2, libc::PROT_EXEC as u32)], then: EPERM };
        rules.push(Rule { number, cases: vec![executable], otherwise: Verdict::Allow });
    }
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
    fn a_gate_of_keys_hands_nothing_on_and_makes_nothing() {
        for number in [
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_sendmsg,
            libc::SYS_sendmmsg,
            libc::SYS_setsockopt,
            libc::SYS_splice,
            libc::SYS_pipe2,
            libc::SYS_memfd_create,
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
            libc::SYS_tgkill,
            libc::SYS_pidfd_getfd,
            libc::SYS_process_vm_readv,
            libc::SYS_dup,
            libc::SYS_dup3,
            libc::SYS_ioctl,
            libc::SYS_prlimit64,
            libc::SYS_setrlimit,
        ] {
            assert!(!allows(number, [3; 6]), "{number}");
        }
        for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_SETOWN] {
            assert!(!allows(libc::SYS_fcntl, [5, command as u64, 0, 0, 0, 0]));
        }
        assert!(!allows(libc::SYS_sendto, [9, 1, 1, 0, 0x7fff_0000_1000, 16]));
        assert!(!allows(
            libc::SYS_getsockopt,
            [9, libc::SOL_SOCKET as u64, libc::SO_PEERGROUPS as u64, 0, 0, 0]
        ));
        let executable = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        assert!(!allows(libc::SYS_mmap, [0, 4096, executable, 0, 0, 0]));
    }

    #[test]
    fn what_it_works_with_is_allowed() {
        assert!(allows(libc::SYS_sendto, [9, 1, 1, 0, 0, 0]));
        assert!(allows(
            libc::SYS_getsockopt,
            [9, libc::SOL_SOCKET as u64, libc::SO_PEERCRED as u64, 0, 0, 0]
        ));
        assert!(allows(libc::SYS_fcntl, [5, libc::F_SETFL as u64, 0, 0, 0, 0]));
        assert!(allows(libc::SYS_mmap, [0, 4096, (libc::PROT_READ | libc::PROT_WRITE) as u64, 0, 0, 0]));
    }
}
