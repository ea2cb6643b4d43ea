//! T1: files that are the kernel's: devices, `/proc`, `/sys`, and the mounts themselves.

use super::{c, mounts, open_with, scratch};
use crate::attack::{Answer, Attack, any_of, judge, refused, succeeded};
use crate::errno::Errno;
use crate::sys::call;
use agentbox_probe::Facts;
use std::fs;
use std::os::unix::fs::FileTypeExt;

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t1.device-mem", "open the memory of the machine", |_| device("/dev/mem"))
        .root()
        .kernel("/dev/mem"),
    Attack::new("t1.device-kmsg", "open the log of the kernel", |_| device("/dev/kmsg"))
        .root()
        .kernel("/dev/kmsg"),
    Attack::new("t1.device-kvm", "open the hypervisor", |_| device("/dev/kvm")).root().kernel("kvm"),
    Attack::new("t1.device-fuse", "open FUSE", |_| device("/dev/fuse")).root().kernel("fuse"),
    Attack::new("t1.device-tun", "open the tunnel device", |_| device("/dev/net/tun")).root().kernel("tun"),
    Attack::new("t1.device-loop", "open the control of loop devices", |_| device("/dev/loop-control"))
        .root()
        .kernel("loop"),
    Attack::new("t1.device-userfaultfd", "open the userfaultfd device", |_| device("/dev/userfaultfd"))
        .root()
        .kernel("/dev/userfaultfd"),
    Attack::new("t1.device-vsock", "open the vsock device", |_| device("/dev/vsock")).root().kernel("vsock"),
    Attack::new("t1.block-device", "find a block device", |_| block_device()),
    Attack::new("t1.make-device", "make a device node and open it", make_device).root(),
    Attack::new("t1.core-pattern", "say which program the kernel runs when one crashes", |_| {
        writable("/proc/sys/kernel/core_pattern")
    })
    .root(),
    Attack::new("t1.kernel-settings", "open a setting of the kernel for writing", |_| kernel_settings())
        .root(),
    Attack::new("t1.kernel-settings-mount", "find /proc/sys on a mount that can be written", |_| {
        settings_mount()
    }),
    Attack::new("t1.proc-unmasked", "reach a file of /proc that tells about the whole machine", |_| {
        unmasked()
    }),
    Attack::new("t1.mount-honours-devices", "find a directory on a mount that honours device nodes", |_| {
        lacks_option("nodev")
    }),
    Attack::new("t1.mount-honours-set-id", "find a mount that honours set-id bits", |_| {
        lacks_option("nosuid")
    }),
    Attack::new("t1.remount", "make a read-only mount writable", |_| remount()).root(),
    Attack::new("t1.unmount", "take a mount away, to see what is below", |_| unmount()).root(),
    Attack::new("t1.move-mount", "move a mount elsewhere", |_| move_mount()).root(),
    Attack::new("t1.bind-mount", "mount a directory over another", |_| bind_mount()).root(),
];

fn device(path: &str) -> Answer {
    judge(open_with(path, libc::O_RDWR).or_else(|_| open_with(path, libc::O_RDONLY)))
}

fn block_device() -> Answer {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let found = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()));
    any_of(found.map(|entry| (entry.path().display().to_string(), succeeded("is there"))))
}

fn make_device(facts: &Facts) -> Answer {
    let path = scratch(facts, "null");
    let null = rustix::fs::makedev(1, 3);
    let result = call!(libc::SYS_mknod, &*c(&path), libc::S_IFCHR | 0o666, null)
        .and_then(|_| open_with(&path.to_string_lossy(), libc::O_RDWR));
    let _ = fs::remove_file(&path);
    judge(result)
}

/// Opening for writing is where the kernel refuses; nothing is written.
fn writable(path: &str) -> Answer {
    judge(open_with(path, libc::O_WRONLY))
}

fn kernel_settings() -> Answer {
    const SETTINGS: &[&str] = &[
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/printk",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
        "/sys/power/state",
        "/sys/module/printk/parameters/time",
    ];
    any_of(SETTINGS.iter().map(|path| ((*path).to_owned(), writable(path))))
}

fn settings_mount() -> Answer {
    match rustix::fs::statvfs("/proc/sys") {
        Ok(state) if state.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => refused("read-only"),
        Ok(_) => succeeded("not read-only"),
        Err(error) => refused(Errno::from(error)),
    }
}

fn unmasked() -> Answer {
    const FILES: &[&str] =
        &["kcore", "keys", "sysrq-trigger", "timer_list", "latency_stats", "acpi", "scsi", "asound"];
    // A mask is another file system's file, so whose file it is tells more than whether it opens.
    any_of(FILES.iter().filter_map(|name| {
        let path = format!("/proc/{name}");
        let kind = rustix::fs::statfs(&path).ok()?.f_type;
        let answer =
            if kind == libc::PROC_SUPER_MAGIC { succeeded("is the kernel's") } else { refused("masked") };
        Some((path, answer))
    }))
}

fn lacks_option(option: &str) -> Answer {
    let lacking = mounts().into_iter().filter(|mount| {
        // A single device node and the terminals have to be honoured to be of use; each of these mounts holds
        // nothing else.
        let is_devices = mount.kind == "devpts"
            || fs::metadata(&mount.target).is_ok_and(|it| it.file_type().is_char_device());
        !(mount.has(option) || option == "nodev" && is_devices)
    });
    any_of(lacking.map(|mount| (mount.target, succeeded(format!("without {option}")))))
}

/// Where it is allowed, goes into a mount namespace of its own first, so that nobody else's mounts change.
fn privately() -> bool {
    call!(libc::SYS_unshare, libc::CLONE_NEWNS).is_ok()
        && mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE).is_ok()
}

fn mount(source: &std::ffi::CStr, target: &std::ffi::CStr, flags: u64) -> Result<i64, Errno> {
    call!(libc::SYS_mount, source, target, c"none", flags, 0)
}

fn remount() -> Answer {
    privately();
    any_of(mounts().into_iter().map(|one| {
        let answer =
            judge(mount(c"none", &c(&one.target), libc::MS_REMOUNT | libc::MS_BIND | libc::MS_NOSUID));
        (one.target, answer)
    }))
}

fn unmount() -> Answer {
    privately();
    // The deepest first, as an attacker would who wants to see what is below.
    any_of(mounts().into_iter().rev().map(|one| {
        let answer = judge(call!(libc::SYS_umount2, &*c(&one.target), libc::MNT_DETACH));
        (one.target, answer)
    }))
}

fn move_mount() -> Answer {
    privately();
    judge(mount(c"/proc", c"/tmp", libc::MS_MOVE))
}

fn bind_mount() -> Answer {
    privately();
    judge(mount(c"/", c"/tmp", libc::MS_BIND | libc::MS_REC))
}
