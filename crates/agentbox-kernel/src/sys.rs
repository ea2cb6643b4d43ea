//! The system calls that have no safe wrapper. The only file of this crate with `unsafe`.
//!
//! Each function is as small as its call allows and says nothing about policy; what is done with the
//! results belongs to the mechanisms.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// `struct clone_args` of clone(2), as of CLONE_ARGS_SIZE_VER2.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_VM: u64 = 0x100;
const CLONE_FILES: u64 = 0x400;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Owns a descriptor by its number. The caller knows that nobody else does.
pub(crate) fn take_over(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD reads a flag and fails for a number that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open; `inherited` takes each number once, before this process has opened anything.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Everything that a new process needs, made before it exists: between clone and exec only calls that
/// are safe after a fork of a process with threads (signal-safety(7)) are made, and nothing allocates.
pub(crate) struct NewProcess<'a> {
    /// Opened program.
    pub(crate) program: BorrowedFd<'a>,
    /// Arguments.
    pub(crate) arguments: &'a [CString],
    /// `NAME=value`.
    pub(crate) environment: &'a [CString],
    /// Descriptor `i` of the list becomes number `i`. All must have numbers above the list's length.
    pub(crate) descriptors: &'a [OwnedFd],
    /// A number above those of all descriptors here. From there on nothing of this process is copied for it.
    pub(crate) end: u32,
    /// Version 2 control group that it starts in; none: that of this process.
    pub(crate) group: Option<BorrowedFd<'a>>,
    /// Where an `errno` goes when the program cannot be executed; its number is above the list's length.
    pub(crate) failure: BorrowedFd<'a>,
}

/// Starts the process in its control group; returns its pid and pidfd once it has executed its program, or failed to.
pub(crate) fn start(process: &NewProcess<'_>) -> io::Result<(u32, OwnedFd)> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let arguments = pointers(process.arguments);
    let environment = pointers(process.environment);

    let before = block_signals()?;

    let mut pidfd: c_int = -1;
    let group = process.group.map(|group| u64::try_from(group.as_raw_fd()).unwrap_or(u64::MAX));
    // Of 16 bytes each: so is a stack aligned.
    let mut stack = vec![0_u128; CHILD_STACK / size_of::<u128>()];
    let arguments_of_clone = CloneArgs {
        // Memory and the table of descriptors are shared, not copied, and this thread waits until the child uses
        // neither any more: it has executed its program, or ended.
        flags: CLONE_PIDFD
            | CLONE_VM
            | CLONE_VFORK
            | CLONE_FILES
            | if group.is_some() { CLONE_INTO_CGROUP } else { 0 },
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: CHILD_STACK as u64,
        cgroup: group.unwrap_or(0),
        ..CloneArgs::default()
    };
    let mut child = Child { process, arguments: arguments.as_ptr(), environment: environment.as_ptr() };
    // SAFETY: the structure is valid and of the size given, and the stack the child's alone. What the child
    // reads lives on the stack of this thread, which waits.
    let pid = unsafe { clone3_on_stack(&arguments_of_clone, child_entry, (&raw mut child).cast()) };
    drop(stack);
    restore_signals(&before);
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-pid).unwrap_or(libc::EINVAL)));
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so `pidfd` is an open descriptor that nobody owns yet.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((u32::try_from(pid).unwrap_or(0), pidfd))
}

/// What the child of [`start`] reads.
struct Child<'a> {
    process: &'a NewProcess<'a>,
    arguments: *const *const c_char,
    environment: *const *const c_char,
}

/// Room for the calls between clone and exec.
const CHILD_STACK: usize = 64 << 10;

/// Where the child of [`start`] begins.
extern "C" fn child_entry(child: *mut c_void) -> ! {
    // SAFETY: `start` passes a pointer to what lives until this process has executed its program or ended.
    unsafe { in_child(&*child.cast::<Child<'_>>()) }
}

/// clone3(2) for a child with a stack of its own, on which it calls `entry`. The parent gets its pid or an errno,
/// negative. libc has no function for it: the child must not return through the parent's frames.
///
/// # Safety
/// As clone3(2) with CLONE_VM: `arguments` names a stack, and `data` is valid for as long as the child uses it.
unsafe fn clone3_on_stack(
    arguments: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    data: *mut c_void,
) -> c_long {
    let result: c_long;
    // SAFETY: the kernel gives the child the stack that `arguments` names, its end aligned; the child goes on with
    // `entry` and never comes out of the block.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") data,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: the same.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            inlateout("x0") arguments => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x20") data,
            in("x21") entry,
        );
    }
    result
}

/// The child's way to its program.
///
/// # Safety
/// Only in a process just cloned, with pointers that are valid there.
unsafe fn in_child(child: &Child<'_>) -> ! {
    let Child { process, arguments, environment } = *child;
    // SAFETY: plain system calls on descriptors and memory of this process, all of them safe after a
    // fork; `action` and `none` are initialised before they are passed.
    unsafe {
        let fail = |number: c_int| -> ! {
            let number = number.to_ne_bytes();
            libc::write(process.failure.as_raw_fd(), number.as_ptr().cast::<c_void>(), number.len());
            libc::_exit(127)
        };
        // Before anything is changed in it.
        let flags = libc::CLOSE_RANGE_UNSHARE as c_uint;
        if libc::syscall(libc::SYS_close_range, process.end as c_uint, c_uint::MAX, flags) != 0 {
            fail(*libc::__errno_location());
        }
        // exec(2) keeps ignored signals ignored; libc refuses its own two, which are never ignored.
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        // Cannot fail: the child has just been made and leads no group.
        libc::setsid();
        libc::umask(0);
        if libc::chdir(c"/".as_ptr()) != 0 {
            fail(*libc::__errno_location());
        }
        let mut number: RawFd = 0;
        for descriptor in process.descriptors {
            // The copy has no close-on-exec flag.
            if libc::dup2(descriptor.as_raw_fd(), number) < 0 {
                fail(*libc::__errno_location());
            }
            number += 1;
        }
        let flags = libc::CLOSE_RANGE_CLOEXEC as c_uint;
        if libc::syscall(libc::SYS_close_range, number as c_uint, c_uint::MAX, flags) != 0 {
            fail(*libc::__errno_location());
        }
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::syscall(
            libc::SYS_execveat,
            process.program.as_raw_fd(),
            c"".as_ptr(),
            arguments,
            environment,
            libc::AT_EMPTY_PATH,
        );
        fail(*libc::__errno_location())
    }
}

/// A child that becomes somebody and connects a socket, made before it exists as [`NewProcess`] is.
pub(crate) struct Deputy<'a> {
    /// Whom it becomes.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'a [u32],
    /// What it connects to.
    pub(crate) path: &'a CStr,
    /// What it connects.
    pub(crate) socket: BorrowedFd<'a>,
    /// Version 2 control group that it runs in.
    pub(crate) group: BorrowedFd<'a>,
}

/// Exit status of a [`Deputy`] that found something else than a socket of whom it became. No errno has it.
pub(crate) const NOT_THEIRS: i32 = 255;
/// Name of its process: one that is neither a launcher's nor a gate's.
pub(crate) const DEPUTY_NAME: &CStr = c"agentbox-deputy";

/// Starts it; its pidfd. Its exit status is 0, an errno or [`NOT_THEIRS`].
pub(crate) fn connect_as(deputy: &Deputy<'_>) -> io::Result<OwnedFd> {
    let before = block_signals()?;
    let mut pidfd: c_int = -1;
    let arguments = CloneArgs {
        flags: CLONE_PIDFD | CLONE_INTO_CGROUP,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: u64::try_from(deputy.group.as_raw_fd()).unwrap_or(u64::MAX),
        ..CloneArgs::default()
    };
    // SAFETY: the structure is valid and of the size given; no memory is shared with the child, which does
    // below only what is safe after a fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    if pid == 0 {
        // SAFETY: the child has one thread; what it uses was copied with the process.
        unsafe { as_deputy(deputy) }
    }
    let error = io::Error::last_os_error();
    restore_signals(&before);
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so this is an open descriptor that nobody owns yet.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// The child's way. Signals stay blocked: it ends within a few calls or by SIGKILL.
///
/// # Safety
/// Only in a process just cloned.
unsafe fn as_deputy(deputy: &Deputy<'_>) -> ! {
    /// Where the socket that was opened stands, once 0 is the only descriptor.
    const OPENED: c_int = 1;
    const OPENED_PATH: &CStr = c"/proc/self/fd/1";
    const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    // SAFETY: plain system calls on descriptors and memory of this process. libc's own wrappers of those that
    // change ids would tell threads that are not there, so the calls are made directly.
    unsafe {
        let check = |result: c_long| {
            if result < 0 {
                libc::_exit(*libc::__errno_location())
            }
        };
        check(libc::dup2(deputy.socket.as_raw_fd(), 0).into());
        check(libc::syscall(libc::SYS_close_range, 1 as c_uint, c_uint::MAX, 0 as c_uint));
        check(libc::prctl(libc::PR_SET_NAME, DEPUTY_NAME.as_ptr(), 0, 0, 0).into());
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0).into());
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
        check(libc::syscall(libc::SYS_setgroups, deputy.groups.len(), deputy.groups.as_ptr()));
        check(libc::syscall(libc::SYS_setresgid, deputy.gid, deputy.gid, deputy.gid));
        check(libc::syscall(libc::SYS_setresuid, deputy.uid, deputy.uid, deputy.uid));
        // capset(2): the header has the version and the thread; two times three sets of 32 bits follow.
        let (header, none) = ([CAPABILITY_VERSION_3, 0], [0_u32; 6]);
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()));
        let mut how: libc::open_how = std::mem::zeroed();
        how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_NO_MAGICLINKS;
        let (path, size) = (deputy.path.as_ptr(), size_of::<libc::open_how>());
        let opened = libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path, &raw const how, size);
        check(opened);
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        check(libc::fstat(OPENED, stat.as_mut_ptr()).into());
        let stat = stat.assume_init();
        let is_socket = stat.st_mode & libc::S_IFMT == libc::S_IFSOCK;
        if opened != c_long::from(OPENED) || !is_socket || stat.st_uid != deputy.uid {
            libc::_exit(NOT_THEIRS)
        }
        // What was looked at is what is connected to.
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = OPENED_PATH.to_bytes();
        ptr::copy_nonoverlapping(bytes.as_ptr().cast::<c_char>(), address.sun_path.as_mut_ptr(), bytes.len());
        let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        check(libc::connect(0, (&raw const address).cast::<libc::sockaddr>(), length).into());
        libc::_exit(0)
    }
}

/// A user namespace that maps id 0 to itself, held by nothing but the descriptor returned.
///
/// `ready` runs with the id of a process inside of it, to write its maps and to open it.
pub(crate) fn with_user_namespace<T>(ready: impl FnOnce(u32) -> io::Result<T>) -> io::Result<T> {
    let mut pidfd: c_int = -1;
    let arguments = CloneArgs {
        // It uses no descriptor, and so shares the table rather than copying it.
        flags: CLONE_PIDFD | CLONE_FILES | CLONE_NEWUSER,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    let before = block_signals()?;
    // SAFETY: getpid(2) has no error.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the structure is valid and of the size given; no memory is shared with the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    if pid == 0 {
        // SAFETY: all of these are safe after a fork. It ends with the thread that made it, and so before that
        // thread's process has ended; the other way about, somebody else is its parent already.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            while libc::getppid() == parent {
                libc::pause();
            }
            libc::_exit(0)
        }
    }
    let error = io::Error::last_os_error();
    restore_signals(&before);
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so this is an open descriptor that nobody owns yet.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let result = ready(u32::try_from(pid).unwrap_or(0));
    let killed = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    let options = rustix::process::WaitIdOptions::EXITED;
    let wait = || rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), options);
    if killed.is_ok() {
        let _ = rustix::io::retry_on_intr(wait);
    }
    result
}

/// Lets all signals of this thread wait, so that no handler of this program ever runs in a child; those that
/// waited before.
fn block_signals() -> io::Result<libc::sigset_t> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for writing, sigfillset fills `all` before it is read, pthread_sigmask `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: a set that pthread_sigmask filled.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}

/// Maps the owners of a detached mount through a user namespace (mount_setattr(2)).
pub(crate) fn map_owners(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let namespace = u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX);
    set_attributes(mount, MOUNT_ATTR_IDMAP, namespace)
}

fn set_attributes(mount: BorrowedFd<'_>, attr_set: u64, userns_fd: u64) -> io::Result<()> {
    let attributes = MountAttr { attr_set, attr_clr: 0, propagation: 0, userns_fd };
    // SAFETY: path and structure are valid for the call, the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a mount that is attached nowhere one that can only be read: no writing, no programs, no devices.
pub(crate) fn seal_mount(mount: BorrowedFd<'_>) -> io::Result<()> {
    const RDONLY_NOSUID_NODEV_NOEXEC: u64 = 0xf;
    set_attributes(mount, RDONLY_NOSUID_NODEV_NOEXEC, 0)
}

/// Gives the calling thread the file rights of other ids (setfsuid(2), setfsgid(2)): the kernel takes the
/// file capabilities away with them. Whether it worked is asked for, because the calls do not say.
pub(crate) fn set_file_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: both calls take and return numbers only and concern the calling thread alone.
    let (now_gid, now_uid) = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsgid(u32::MAX), libc::setfsuid(u32::MAX))
    };
    if u32::try_from(now_uid) == Ok(uid) && u32::try_from(now_gid) == Ok(gid) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// Version of Landlock's interface; `None` where the kernel has none or has it switched off.
pub(crate) fn landlock_version() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: c_long = 1;
    // SAFETY: with this flag the call takes no structure and makes nothing.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

/// Whether seccomp filters can refuse a call with an errno (seccomp(2), SECCOMP_GET_ACTION_AVAIL).
pub(crate) fn has_seccomp_filters() -> bool {
    const SECCOMP_GET_ACTION_AVAIL: c_long = 2;
    const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
    let action = SECCOMP_RET_ERRNO;
    // SAFETY: the pointer is valid for the call, which only reads it.
    unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// An account as the name service gives it.
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: CString,
    pub(crate) home: CString,
    pub(crate) shell: CString,
}

/// A group as the name service gives it.
pub(crate) struct Group {
    pub(crate) gid: u32,
    pub(crate) name: CString,
    pub(crate) members: Vec<CString>,
}

/// Which entry of a name service database.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    Id(u32),
    Name(&'a CStr),
}

/// Largest buffer that an entry may need; a group of a directory service can have many members.
const MAX_ENTRY_BYTES: usize = 16 << 20;

/// Calls a `get…_r` function with a growing buffer. The callback returns its error number and whether
/// there was an entry.
fn with_buffer<T>(mut call: impl FnMut(&mut [c_char]) -> (c_int, Option<T>)) -> io::Result<Option<T>> {
    let mut bytes = 4096;
    loop {
        let mut buffer = vec![0; bytes];
        match call(&mut buffer) {
            (0, found) => return Ok(found),
            (libc::ERANGE, _) if bytes < MAX_ENTRY_BYTES => bytes *= 4,
            // getpwnam(3): these are ways in which "there is none" comes back.
            (libc::ENOENT | libc::ESRCH, _) => return Ok(None),
            (libc::EINTR, _) => {}
            (number, _) => return Err(io::Error::from_raw_os_error(number)),
        }
    }
}

/// Copies a C string that may be missing.
///
/// # Safety
/// `text` is null or points to a string that ends with a NUL.
unsafe fn copied(text: *const c_char) -> CString {
    if text.is_null() {
        return CString::default();
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_owned()
}

/// The account of an id or a name (getpwuid_r(3), getpwnam_r(3)).
pub(crate) fn account(key: Key<'_>) -> io::Result<Option<Account>> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        let (pointer, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: entry, buffer and result are valid for writing, the length is the buffer's; the name
        // ends with a NUL.
        let number = unsafe {
            match key {
                Key::Id(uid) => libc::getpwuid_r(uid, entry.as_mut_ptr(), pointer, length, &raw mut found),
                Key::Name(name) => {
                    libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), pointer, length, &raw mut found)
                }
            }
        };
        if number != 0 || found.is_null() {
            return (number, None);
        }
        // SAFETY: the call succeeded and found something, so the entry is filled and its strings lie in
        // the buffer, which lives until the end of this closure.
        let account = unsafe {
            let entry = entry.assume_init_ref();
            Account {
                uid: entry.pw_uid,
                gid: entry.pw_gid,
                name: copied(entry.pw_name),
                home: copied(entry.pw_dir),
                shell: copied(entry.pw_shell),
            }
        };
        (0, Some(account))
    })
}

/// The group of an id or a name (getgrgid_r(3), getgrnam_r(3)).
pub(crate) fn group(key: Key<'_>) -> io::Result<Option<Group>> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        let (pointer, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: entry, buffer and result are valid for writing, the length is the buffer's; the name
        // ends with a NUL.
        let number = unsafe {
            match key {
                Key::Id(gid) => libc::getgrgid_r(gid, entry.as_mut_ptr(), pointer, length, &raw mut found),
                Key::Name(name) => {
                    libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), pointer, length, &raw mut found)
                }
            }
        };
        if number != 0 || found.is_null() {
            return (number, None);
        }
        let mut members = Vec::new();
        // SAFETY: the call succeeded and found something, so the entry is filled; its member list is an
        // array of strings in the buffer that ends with a null pointer.
        let (gid, name) = unsafe {
            let entry = entry.assume_init_ref();
            let mut next = entry.gr_mem;
            while !next.is_null() && !(*next).is_null() {
                members.push(copied(*next));
                next = next.add(1);
            }
            (entry.gr_gid, copied(entry.gr_name))
        };
        (0, Some(Group { gid, name, members }))
    })
}

/// All groups of an account, the primary one among them (getgrouplist(3)).
pub(crate) fn groups_of(name: &CStr, gid: u32) -> io::Result<Vec<u32>> {
    // NGROUPS_MAX of the kernel is 65536: nobody can be in more.
    for room in [64_usize, 1024, 65_537] {
        let mut groups = vec![0; room];
        let mut count = c_int::try_from(room).unwrap_or(c_int::MAX);
        // SAFETY: the name ends with a NUL; the list has room for `count` entries.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        if result >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return Ok(groups);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ERANGE))
}

/// Subscribes a netlink socket to a group of events (netlink(7), NETLINK_ADD_MEMBERSHIP).
pub(crate) fn join_netlink_group(socket: BorrowedFd<'_>, group: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group)
}

/// Lets a socket bind an address that is not there yet, as one is while the kernel still looks for
/// duplicates of it (ip(7), IP_FREEBIND; it holds for IPv6 as well).
pub(crate) fn free_bind(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_IP, libc::IP_FREEBIND, 1)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: u32) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one integer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves this thread into a new network namespace (unshare(2)).
pub(crate) fn new_network_namespace() -> io::Result<()> {
    // SAFETY: an integer; nothing of memory or descriptors changes.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives this thread a table of descriptors of its own, with those below `end` (close_range(2)). What the thread
/// drops from then on is not what others hold: it may use nothing that was opened before.
pub(crate) fn leave_descriptors(end: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_UNSHARE as c_uint;
    // SAFETY: integers. The other threads keep their table, and this one has been told to use nothing of it.
    let result = unsafe { libc::syscall(libc::SYS_close_range, end as c_uint, c_uint::MAX, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A group of fanotify(7) that names directories by their handles, and the processes that act. Whoever gets it
/// may mark what it can open itself.
pub(crate) fn watch_group() -> io::Result<OwnedFd> {
    let flags = libc::FAN_CLASS_NOTIF
        | libc::FAN_CLOEXEC
        | libc::FAN_NONBLOCK
        | libc::FAN_REPORT_DFID_NAME
        | libc::FAN_UNLIMITED_QUEUE
        | libc::FAN_UNLIMITED_MARKS;
    // SAFETY: integers only.
    let fd = unsafe { libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_CLOEXEC) as c_uint) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open descriptor that nobody owns yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
