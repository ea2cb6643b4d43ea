//! T7: namespaces and mounts: sharing the host's, making new ones, entering others.

use super::OWN_FIRST;
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::own_state;
use crate::sys::{self, call, owned};
use agentbox_probe::Facts;
use std::os::fd::AsRawFd;

const NEW: &[(&str, i32)] = &[
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
];
/// Only unshare and clone3 know it: its bit is part of clone's exit signal.
const NEW_TIME: i32 = 0x80;
const SYS_OPEN_TREE_ATTR: i64 = 467;

pub(super) const TABLE: &[Attack] = &[
    shares("t7.host-mount-namespace", "be in the host's mount namespace", |f| shares_host(f, "mnt")),
    shares("t7.host-pid-namespace", "be in the host's pid namespace", |f| shares_host(f, "pid")),
    shares("t7.host-ipc-namespace", "be in the host's ipc namespace", |f| shares_host(f, "ipc")),
    shares("t7.host-uts-namespace", "be in the host's uts namespace", |f| shares_host(f, "uts")),
    shares("t7.host-cgroup-namespace", "be in the host's cgroup namespace", |f| shares_host(f, "cgroup")),
    shares("t7.host-network-namespace", "be in the host's network namespace", |f| shares_host(f, "net")),
    unshares("t7.unshare-user", "make a user namespace (unshare)", || unshare_to(0)),
    unshares("t7.unshare-mount", "make a mount namespace", || unshare_to(1)),
    unshares("t7.unshare-pid", "make a pid namespace", || unshare_to(2)),
    unshares("t7.unshare-network", "make a network namespace", || unshare_to(3)),
    unshares("t7.unshare-ipc", "make an ipc namespace", || unshare_to(4)),
    unshares("t7.unshare-uts", "make a uts namespace", || unshare_to(5)),
    unshares("t7.unshare-cgroup", "make a cgroup namespace", || unshare_to(6)),
    unshares("t7.unshare-time", "make a time namespace", || {
        call!(libc::SYS_unshare, NEW_TIME | libc::CLONE_NEWUSER)
    }),
    Attack::new("t7.clone-namespaces", "make any namespace with clone", |_| with_each(sys::clone_and_end)),
    Attack::new("t7.clone3-namespaces", "make any namespace with clone3", |_| with_each(sys::clone3_and_end)),
    Attack::new("t7.clone-high-bits", "make a user namespace with high bits set in clone's flags", |_| {
        judge(sys::clone_and_end(0x7fff_0000_0000_0000 | libc::CLONE_NEWUSER as u64))
    })
    .never_shown("the kernel refuses or ignores such bits, by version"),
    Attack::reach(
        "t7.unshare-high-bits",
        "make a user namespace with high bits set in unshare's flags",
        || call!(libc::SYS_unshare, 0x7fff_ffff_0000_0000_i64 | i64::from(libc::CLONE_NEWUSER)),
    )
    .never_shown("the kernel refuses such bits, by version"),
    Attack::reach("t7.enter-namespace", "reach setns", || call!(libc::SYS_setns, -1, 0)),
    Attack::new("t7.enter-first-namespaces", "enter the namespaces of process 1", |_| enter_first())
        .root()
        .needs(&[OWN_FIRST]),
    Attack::new("t7.parent-namespace", "open the pid namespace above one's own", |_| parent_namespace())
        .never_shown("the host's own pid namespace has none above it"),
    Attack::reach("t7.change-root", "reach chroot", || call!(libc::SYS_chroot, c"/")).root(),
    Attack::reach("t7.pivot-root", "reach pivot_root", || {
        call!(libc::SYS_pivot_root, c"/agentbox-probe-none", c"/agentbox-probe-none")
    })
    .root(),
    Attack::reach("t7.mount", "reach mount", || {
        call!(libc::SYS_mount, c"none", c"/agentbox-probe-none", c"tmpfs", 0, 0)
    }),
    Attack::reach("t7.mount-cgroup", "reach mount for a control group file system", || {
        call!(libc::SYS_mount, c"none", c"/agentbox-probe-none", c"cgroup2", 0, 0)
    }),
    Attack::reach("t7.umount", "reach umount2", || call!(libc::SYS_umount2, c"/agentbox-probe-none", 0))
        .root(),
    Attack::reach("t7.fsopen", "reach fsopen", || call!(libc::SYS_fsopen, c"tmpfs", 0)).root(),
    Attack::reach("t7.fspick", "reach fspick", || call!(libc::SYS_fspick, libc::AT_FDCWD, c"/", 0)).root(),
    Attack::reach("t7.fsconfig", "reach fsconfig", || call!(libc::SYS_fsconfig, -1, 6, 0, 0, 0)),
    Attack::reach("t7.fsmount", "reach fsmount", || call!(libc::SYS_fsmount, -1, 0, 0)).root(),
    Attack::reach("t7.open-tree", "reach open_tree", || call!(libc::SYS_open_tree, libc::AT_FDCWD, c"/", 0)),
    Attack::reach("t7.open-tree-attr", "reach open_tree_attr", || {
        call!(SYS_OPEN_TREE_ATTR, libc::AT_FDCWD, c"/", 0, 0, 0)
    })
    .kernel("open_tree_attr"),
    Attack::reach("t7.move-mount", "reach move_mount", || call!(libc::SYS_move_mount, -1, c"", -1, c"", 0))
        .root(),
    Attack::reach("t7.mount-setattr", "reach mount_setattr", || {
        let nothing = [0_u8; 32];
        call!(libc::SYS_mount_setattr, libc::AT_FDCWD, c"/", 0, nothing.as_slice(), nothing.len())
    })
    .root(),
];

const fn shares(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Attack {
    Attack::new(id, title, run).needs(&["host.namespaces"])
}

const fn unshares(id: &'static str, title: &'static str, run: fn() -> Result<i64, Errno>) -> Attack {
    Attack::reach(id, title, run)
}

fn shares_host(facts: &Facts, name: &str) -> Answer {
    let Some(hosts) = facts.host.namespaces.get(name) else { return lacking("namespace of the host") };
    match own_state::namespaces().get(name) {
        Some(own) if own == hosts => succeeded("it is the host's"),
        Some(own) => refused(format!("own {own}, the host's {hosts}")),
        None => refused("cannot be seen"),
    }
}

/// With a user namespace where that is what the person needs for it.
fn unshare_to(index: usize) -> Result<i64, Errno> {
    let (_, flag) = NEW[index];
    call!(libc::SYS_unshare, flag).or_else(|_| call!(libc::SYS_unshare, flag | libc::CLONE_NEWUSER))
}

fn with_each(make: fn(u64) -> Result<i32, Errno>) -> Answer {
    any_of(NEW.iter().flat_map(|(name, flag)| {
        [*flag, *flag | libc::CLONE_NEWUSER].map(|flags| ((*name).to_owned(), judge(make(flags as u64))))
    }))
}

fn enter_first() -> Answer {
    let by_file = NEW.iter().skip(1).map(|(name, flag)| {
        let entered = std::fs::File::open(format!("/proc/1/ns/{name}"))
            .map_err(Errno::from)
            .and_then(|file| call!(libc::SYS_setns, file.as_raw_fd(), *flag));
        ((*name).to_owned(), judge(entered))
    });
    let by_process = owned(call!(libc::SYS_pidfd_open, 1, 0))
        .and_then(|first| call!(libc::SYS_setns, first.as_raw_fd(), libc::CLONE_NEWUTS));
    any_of(by_file.chain([("pidfd".to_owned(), judge(by_process))]))
}

fn parent_namespace() -> Answer {
    const NS_GET_PARENT: i64 = 0xb702;
    let parent = std::fs::File::open("/proc/self/ns/pid")
        .map_err(Errno::from)
        .and_then(|own| owned(call!(libc::SYS_ioctl, own.as_raw_fd(), NS_GET_PARENT)));
    match parent {
        Ok(_) => succeeded("opened"),
        Err(error) => refused(error),
    }
}
