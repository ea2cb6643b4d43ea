//! T7: system calls that no agent needs. Each is made so that it changes nothing where it is allowed:
//! with arguments that the kernel refuses after it has looked at who asks, or with what is already so.

use crate::attack::{Answer, Attack, any_of, judge, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{self, call, owned};
use agentbox_probe::Facts;
use std::os::fd::AsRawFd;

const SYS_QUOTACTL_FD: i64 = 443;
const SYS_PROCESS_MADVISE: i64 = 440;
const SYS_LOOKUP_DCOOKIE: i64 = 212;

pub(super) const TABLE: &[Attack] = &[
    Attack::reach("t7.bpf", "reach bpf", || {
        let attributes = [0_u8; 72];
        // BPF_MAP_CREATE of no type.
        call!(libc::SYS_bpf, 0, attributes.as_slice(), attributes.len())
    })
    .root(),
    Attack::reach("t7.perf-event", "reach perf_event_open", || {
        let mut attributes = [0_u8; 128];
        attributes[0] = 1; // PERF_TYPE_SOFTWARE
        attributes[4..8].copy_from_slice(&128_u32.to_ne_bytes());
        attributes[40] = 0b110_0000; // without kernel and hypervisor, as anybody may
        call!(libc::SYS_perf_event_open, attributes.as_slice(), 0, -1, -1, 0)
    }),
    Attack::reach("t7.userfaultfd", "reach userfaultfd", || call!(libc::SYS_userfaultfd, 1)),
    Attack::reach("t7.io-uring", "reach io_uring_setup", || {
        let mut parameters = [0_u8; 120];
        call!(libc::SYS_io_uring_setup, 1, parameters.as_mut_slice())
    }),
    Attack::reach("t7.io-uring-enter", "reach io_uring_enter", || {
        call!(libc::SYS_io_uring_enter, -1, 0, 0, 0, 0, 0)
    }),
    Attack::reach("t7.io-uring-register", "reach io_uring_register", || {
        call!(libc::SYS_io_uring_register, -1, 0, 0, 0)
    }),
    Attack::reach("t7.io-setup", "reach io_setup, which is counted for the whole machine", || {
        let mut context = [0_u8; 8];
        call!(libc::SYS_io_setup, 1, context.as_mut_slice())
    }),
    Attack::reach("t7.kexec-load", "reach kexec_load", || call!(libc::SYS_kexec_load, 0, 0, 0, -1))
        .root()
        .kernel("kexec"),
    Attack::reach("t7.kexec-file-load", "reach kexec_file_load", || {
        call!(libc::SYS_kexec_file_load, -1, -1, 0, 0, -1)
    })
    .root()
    .kernel("kexec"),
    Attack::reach("t7.init-module", "reach init_module", || call!(libc::SYS_init_module, 0, 0, c""))
        .root()
        .kernel("modules"),
    Attack::reach("t7.finit-module", "reach finit_module", || call!(libc::SYS_finit_module, -1, c"", 0))
        .root()
        .kernel("modules"),
    Attack::reach("t7.delete-module", "reach delete_module", || {
        call!(libc::SYS_delete_module, c"agentbox-probe-none", 0)
    })
    .root()
    .kernel("modules"),
    #[cfg(target_arch = "x86_64")]
    Attack::reach("t7.iopl", "reach iopl", || call!(libc::SYS_iopl, 0)).kernel("iopl"),
    #[cfg(target_arch = "x86_64")]
    Attack::reach("t7.ioperm", "reach ioperm", || call!(libc::SYS_ioperm, 0x80, 1, 0)).kernel("ioperm"),
    Attack::reach("t7.swapon", "reach swapon", || call!(libc::SYS_swapon, c"/agentbox-probe-none", 0)).root(),
    Attack::reach("t7.swapoff", "reach swapoff", || call!(libc::SYS_swapoff, c"/agentbox-probe-none")).root(),
    // With a magic number that is none: EINVAL for whoever may, EPERM for the others (reboot(2)).
    Attack::reach("t7.reboot", "reach reboot", || call!(libc::SYS_reboot, 0, 0, 0, 0)).root(),
    Attack::new("t7.host-name", "change the host name", |_| host_name()).root(),
    Attack::reach("t7.domain-name", "reach setdomainname", || call!(libc::SYS_setdomainname, c"", -1)).root(),
    Attack::reach("t7.set-time-of-day", "reach settimeofday", || call!(libc::SYS_settimeofday, 0, 0)).root(),
    Attack::reach("t7.set-clock", "reach clock_settime", || {
        let time = [0_u8; 16];
        call!(libc::SYS_clock_settime, libc::CLOCK_MONOTONIC, time.as_slice())
    }),
    Attack::new("t7.tune-clock", "change how fast the clock ticks", |_| tune_clock()).root(),
    Attack::reach("t7.accounting", "reach acct", || call!(libc::SYS_acct, c"/agentbox-probe-none/x")).root(),
    Attack::reach("t7.quota", "reach quotactl", || call!(libc::SYS_quotactl, 0x0080_0002_i64 << 8, 0, 0, 0)),
    Attack::reach("t7.quota-fd", "reach quotactl_fd", || call!(SYS_QUOTACTL_FD, -1, 0, 0, 0)),
    Attack::reach("t7.kernel-log", "reach syslog", || call!(libc::SYS_syslog, 10, 0, 0)).root(),
    Attack::reach("t7.kernel-log-read", "read the kernel's log", || {
        let mut bytes = [0_u8; 64];
        call!(libc::SYS_syslog, 3, bytes.as_mut_slice(), 64)
    })
    .root(),
    Attack::reach("t7.personality-executable", "make all that can be read executable (personality)", || {
        call!(libc::SYS_personality, 0x0040_0000)
    }),
    Attack::reach("t7.personality-zero-page", "map the page at zero (personality)", || {
        call!(libc::SYS_personality, 0x0010_0000)
    }),
    Attack::reach("t7.compare-processes", "reach kcmp", || {
        let own = std::process::id();
        call!(libc::SYS_kcmp, own, own, 1, 0, 0)
    }),
    Attack::new("t7.advise-process", "advise on the memory of another process", advise).root(),
    Attack::reach("t7.name-to-handle", "reach name_to_handle_at", || {
        let (mut handle, mut mount) = ([0_u8; 136], [0_u8; 4]);
        handle[..4].copy_from_slice(&128_u32.to_ne_bytes());
        call!(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            c"/",
            handle.as_mut_slice(),
            mount.as_mut_slice(),
            0
        )
    }),
    Attack::new("t7.open-process-by-handle", "open a process by its file handle", |_| open_process())
        .kernel("pidfs"),
    Attack::reach("t7.fanotify", "reach fanotify_init", || call!(libc::SYS_fanotify_init, 0x200, 0)),
    Attack::reach("t7.fanotify-mark", "reach fanotify_mark", || {
        call!(libc::SYS_fanotify_mark, -1, 1, 0x20, libc::AT_FDCWD, c"/")
    }),
    Attack::reach("t7.lookup-dcookie", "reach lookup_dcookie", || call!(SYS_LOOKUP_DCOOKIE, 0, 0, 0))
        .root()
        .kernel("lookup_dcookie"),
    Attack::reach("t7.hang-up", "reach vhangup", || call!(libc::SYS_vhangup)).rig(),
    Attack::reach("t7.migrate-pages", "reach migrate_pages", || call!(libc::SYS_migrate_pages, 0, -1, 0, 0))
        .unpromised("moves only what the caller may trace, which is nothing outside"),
    Attack::new("t7.i386-calls", "make a system call of the i386 table", |_| i386()).kernel("i386 emulation"),
    Attack::reach("t7.x32-calls", "make a system call of the x32 table", || {
        call!(0x4000_0000 | libc::SYS_getpid)
    })
    .kernel("x32"),
    Attack::new("t7.unknown-calls", "get an answer from a system call that nobody knows", |_| unknown())
        .never_shown("no kernel answers them; that the process lives on is what is shown"),
];

fn host_name() -> Answer {
    let name = rustix::system::uname().nodename().to_owned();
    // The name that it has.
    judge(call!(libc::SYS_sethostname, &*name, name.to_bytes().len()))
}

fn tune_clock() -> Answer {
    const ADJ_TICK: u32 = 0x4000;
    // struct timex is 208 bytes with `modes` in front; what was read is written back.
    let mut timex = [0_u8; 208];
    if let Err(error) = call!(libc::SYS_adjtimex, timex.as_mut_slice()) {
        return refused(error);
    }
    timex[..4].copy_from_slice(&ADJ_TICK.to_ne_bytes());
    judge(call!(libc::SYS_adjtimex, timex.as_mut_slice()))
}

fn advise(facts: &Facts) -> Answer {
    const MADV_WILLNEED: i32 = 3;
    let Some(victim) = &facts.victim else { return crate::attack::lacking("victim") };
    let vector: Vec<u8> =
        [victim.address & !0xfff, 4096].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    judge(owned(call!(libc::SYS_pidfd_open, victim.pid, 0)).and_then(|process| {
        call!(SYS_PROCESS_MADVISE, process.as_raw_fd(), vector.as_slice(), 1, MADV_WILLNEED, 0)
    }))
}

fn open_process() -> Answer {
    const FD_PIDFS_ROOT: i32 = -10002;
    let (mut handle, mut mount) = ([0_u8; 136], [0_u8; 4]);
    handle[..4].copy_from_slice(&128_u32.to_ne_bytes());
    judge(owned(call!(libc::SYS_pidfd_open, std::process::id(), 0)).and_then(|own| {
        call!(
            libc::SYS_name_to_handle_at,
            own.as_raw_fd(),
            c"",
            handle.as_mut_slice(),
            mount.as_mut_slice(),
            libc::AT_EMPTY_PATH
        )?;
        owned(call!(libc::SYS_open_by_handle_at, FD_PIDFS_ROOT, handle.as_slice(), 0))
    }))
}

fn i386() -> Answer {
    const GETPID: u32 = 20;
    match sys::i386(GETPID, 0, 0, 0) {
        Ok(pid) if pid == i64::from(std::process::id()) => succeeded("getpid answered"),
        Ok(other) => refused(format!("answered {other}")),
        Err(error) => refused(error),
    }
}

fn unknown() -> Answer {
    let numbers = (500..1024).chain([0x3fff_ffff, 0x7fff_ffff, -1]);
    any_of(numbers.map(|number| {
        let answer = match call!(number) {
            Err(Errno(libc::ENOSYS)) => refused("ENOSYS"),
            Err(error) => refused(error),
            Ok(value) => succeeded(format!("answered {value}")),
        };
        (format!("number {number}"), answer)
    }))
}
