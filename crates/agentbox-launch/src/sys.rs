//! The system calls that no library wraps safely; the only `unsafe` of this crate.
//!
//! The launcher is single-threaded from its first instruction to its last. That is what makes a plain
//! `fork` and per-process credentials safe here.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The process that forked.
    Parent {
        /// Process id of the child.
        pid: i32,
        /// Its pidfd.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes over a descriptor that the supervisor put at a fixed number.
///
/// # Errors
/// EBADF when nothing is open there.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_SETFD only reads its integer arguments.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the number is open (above), and each number of the table is taken over once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Overwrites what may hold a secret and that nobody reads any more. An ordinary write would be left out.
pub(crate) fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a reference is valid for a write, and nobody else has it.
        unsafe { ptr::write_volatile(byte, 0) };
    }
}

/// The same for variables.
pub(crate) fn wipe_all(variables: Vec<CString>) {
    for variable in variables {
        wipe(&mut variable.into_bytes());
    }
}

/// clone3(2) with `flags`, optionally straight into a control group (Linux 5.7).
pub(crate) fn clone3(flags: u64, group: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers; all zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no new stack: the child is a copy, as after fork(2). The process has one
    // thread, so no lock is held by a thread that does not exist in the child.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    Ok(Fork::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// fork(2) for use below the filter that answers clone3 with ENOSYS.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: one thread, see the head of this file.
    let pid = check(unsafe { libc::fork() }.into())? as i32;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: pidfd_open(2) takes two integers.
    let pidfd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(Fork::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd as RawFd) } })
}

/// Ends the process without running destructors or flushing anything of the parent's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// execve(2); returns only when it failed.
pub(crate) fn execve(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers =
        |list: &[CString]| list.iter().map(|item| item.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end in null and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Attributes for [`mount_setattr`], as in `linux/mount.h`.
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// mount_setattr(2) (Linux 5.12) on the mount that `mount` refers to; sets, never clears.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    attributes: u64,
    propagation: u64,
    idmap: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut set = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation, userns_fd: 0 };
    if let Some(namespace) = idmap {
        set.attr_set |= MOUNT_ATTR_IDMAP;
        set.userns_fd = namespace.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, the struct is initialised and its size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const set,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// Sets all user and group ids and the supplementary groups. Groups first: afterwards it is forbidden.
pub(crate) fn set_ids(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length describe `groups`; the other calls take integers.
    unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()).into())?;
        check(libc::setresgid(gid, gid, gid).into())?;
        check(libc::setresuid(uid, uid, uid).into())?;
    }
    Ok(())
}

/// Takes other ids and groups for what concerns files (setfsuid(2), setfsgid(2)). The kernel takes the file
/// capabilities away with them. Whether it worked is asked for, because the calls do not say.
pub(crate) fn set_file_ids(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length describe `groups`; the other calls take integers.
    let now = unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()).into())?;
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsuid(u32::MAX).cast_unsigned(), libc::setfsgid(u32::MAX).cast_unsigned())
    };
    if now == (uid, gid) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

/// Gives the process a new anonymous session keyring, so that it possesses nothing of its parent's
/// (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING). A kernel without keyrings has none to leave.
pub(crate) fn leave_session_keyring() -> io::Result<()> {
    // SAFETY: a null name is documented and asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>())
    };
    match check(result) {
        Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => Err(error),
        _ => Ok(()),
    }
}

/// Loads a seccomp filter (seccomp(2)); needs no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn load_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads `len` instructions from `filter`, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    check(result).map(drop)
}

/// Makes the current control group the root of what this process sees (cgroup_namespaces(7)).
pub(crate) fn unshare_control_groups() -> io::Result<()> {
    // SAFETY: an integer; this namespace has nothing to do with memory or descriptors.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into()).map(drop)
}

/// Leaves all namespaces for new ones that the flags name (unshare(2)).
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: an integer. Without CLONE_FILES and CLONE_VM nothing of memory or descriptors changes.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Brings the loopback interface of the current network namespace up (netdevice(7)).
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: socket(2) takes integers; the descriptor is new and owned from here on.
    let socket = unsafe {
        let number = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).into())?;
        OwnedFd::from_raw_fd(number as RawFd)
    };
    // SAFETY: ifreq is plain data; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into()).map(drop)
}

/// Blocks SIGCHLD and returns a descriptor that becomes readable when a child changes (signalfd(2)).
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is read.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()).into())?;
        let number =
            check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(number as RawFd))
    }
}

/// Puts every signal back to its default and unblocks all, as a program expects to find them.
pub(crate) fn default_signals() {
    // SAFETY: SIG_DFL is valid for every signal that accepts one; errors (SIGKILL, SIGSTOP) are harmless.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// Ignores SIGPIPE: a peer that went away is an error of one write, not the end of the launcher.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is valid for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// kill(2) with the meanings of negative ids: `-1` is everybody, `-n` is group n.
pub(crate) fn kill(target: i32, signal: u8) {
    // SAFETY: two integers. A process that is gone already is no error for the caller.
    unsafe { libc::kill(target, signal.into()) };
}

/// Makes `number` a copy of `from`, without close-on-exec.
pub(crate) fn place(from: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: integers only; the numbers placed at are 0 to 2, which nothing here owns.
    check(unsafe { libc::dup2(from.as_raw_fd(), number) }.into())?;
    // SAFETY: fcntl with F_SETFD only reads its integer arguments. (dup2 onto itself keeps the flag.)
    check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into()).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: integers only; nothing is closed yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(result).map(drop)
}

/// Closes every descriptor but `keep`, whose owners go on using them.
///
/// The caller has leaked or moved every other owner: nothing may drop a descriptor closed here.
pub(crate) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    numbers.extend([0, 1, 2]);
    numbers.sort_unstable();
    numbers.dedup();
    let mut from = 0;
    for number in numbers.into_iter().map(Some).chain([None]) {
        let last = number.map_or(u32::MAX, |number| number.wrapping_sub(1));
        if number != Some(from) {
            // SAFETY: integers only; by contract nothing owns a descriptor of this range any more.
            check(unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) })?;
        }
        from = number.map_or(u32::MAX, |number| number + 1);
    }
    Ok(())
}

/// Allows or forbids core dumps, ptrace and access to /proc/PID of this process (PR_SET_DUMPABLE).
pub(crate) fn undumpable() -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into()).map(drop)
}

/// Which seals a memfd carries (fcntl(2), F_GET_SEALS).
pub(crate) fn seals(memfd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_GET_SEALS) }.into()).map(|seals| seals as i32)
}

/// Watches a directory with a group of fanotify(7): names that come to be in it, also directories; with
/// `writes` also files in it that were closed after writing.
pub(crate) fn mark(group: BorrowedFd<'_>, directory: BorrowedFd<'_>, writes: bool) -> io::Result<()> {
    let mut mask = libc::FAN_CREATE | libc::FAN_MOVED_TO | libc::FAN_ONDIR;
    if writes {
        mask |= libc::FAN_CLOSE_WRITE | libc::FAN_EVENT_ON_CHILD;
    }
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_ONLYDIR;
    // SAFETY: descriptors and a path that ends with a NUL; nothing of memory is written.
    let result =
        unsafe { libc::fanotify_mark(group.as_raw_fd(), flags, mask, directory.as_raw_fd(), c".".as_ptr()) };
    check(result.into()).map(drop)
}

/// Type and bytes of a directory's file handle, as events name it.
pub(crate) fn handle(directory: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    /// Linux 6.5: also where handles cannot be opened.
    const AT_HANDLE_FID: i32 = 0x200;
    const MAX_HANDLE_SZ: usize = 128;
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        data: [u8; MAX_HANDLE_SZ],
    }
    let mut last = io::Error::from_raw_os_error(libc::ENOSYS);
    for flag in [AT_HANDLE_FID, 0] {
        let mut handle = Handle { bytes: MAX_HANDLE_SZ as u32, kind: 0, data: [0; MAX_HANDLE_SZ] };
        let mut mount: i32 = 0;
        // SAFETY: the path ends with a NUL; the handle says how many bytes behind its head may be written.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                directory.as_raw_fd(),
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount,
                libc::AT_EMPTY_PATH | flag,
            )
        };
        if result == 0 {
            let length = (handle.bytes as usize).min(MAX_HANDLE_SZ);
            return Ok([&handle.kind.to_ne_bytes()[..], &handle.data[..length]].concat());
        }
        last = io::Error::last_os_error();
    }
    Err(last)
}
