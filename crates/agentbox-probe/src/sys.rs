//! The only file of the probe with `unsafe`: raw system calls, and processes made in ways that no safe
//! interface offers, because the attacks need spellings that a library would never use.

use crate::errno::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// An argument of a raw system call. Memory is lent for the time of the call.
#[derive(Debug)]
pub(crate) enum Arg<'a> {
    /// A number, in all 64 bits.
    Number(i64),
    /// A string.
    Text(&'a CStr),
    /// Memory that the kernel reads.
    In(&'a [u8]),
    /// Memory that the kernel writes.
    Out(&'a mut [u8]),
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl From<$type> for Arg<'_> {
            fn from(value: $type) -> Self {
                #[allow(clippy::cast_lossless, clippy::cast_possible_wrap)]
                Self::Number(value as i64)
            }
        }
    )*};
}
numbers! { i32 u32 i64 u64 usize }

impl<'a> From<&'a CStr> for Arg<'a> {
    fn from(text: &'a CStr) -> Self {
        Self::Text(text)
    }
}
impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::In(bytes)
    }
}
impl<'a> From<&'a mut [u8]> for Arg<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self::Out(bytes)
    }
}

/// Makes a system call by its number.
///
/// For calls that neither map, unmap nor keep memory, nor make a process that shares it: what they read
/// and write is what [`Arg`] lends them.
pub(crate) fn raw_call(number: i64, arguments: &mut [Arg<'_>]) -> Result<i64, Errno> {
    let mut raw = [0_i64; 6];
    for (slot, argument) in raw.iter_mut().zip(arguments) {
        *slot = match argument {
            Arg::Number(value) => *value,
            Arg::Text(text) => text.as_ptr() as i64,
            Arg::In(bytes) => bytes.as_ptr() as i64,
            Arg::Out(bytes) => bytes.as_mut_ptr() as i64,
        };
    }
    // SAFETY: pointers are to memory that is borrowed for the whole call, and the callers keep to calls
    // that leave all other memory alone.
    let result = unsafe { libc::syscall(number, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5]) };
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}

/// `call!(SYS_x, a, b, …)` with whatever converts into [`Arg`].
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::sys::raw_call($number, &mut [$($crate::sys::Arg::from($argument)),*])
    };
}
pub(crate) use call;

/// A system call that returns a descriptor, which is owned from then on.
pub(crate) fn owned(result: Result<i64, Errno>) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(result?).map_err(|_| Errno(libc::EBADF))?;
    // SAFETY: callers hand over the fresh answer of a call that opens a descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It wrote this and ended by itself.
    Said(Vec<u8>),
    /// A signal ended it before it had said anything.
    Signal(i32),
    /// It took longer than it may, and was killed.
    TooLong,
}

/// Runs `work` in a forked child and returns what it says. The child shares nothing that it changes.
pub(crate) fn in_child(limit: Duration, work: impl FnOnce() -> Vec<u8>) -> Result<Ended, Errno> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the probe has one thread, so the child may use everything that the parent could.
    let pid = unsafe { libc::fork() };
    if pid == -1 {
        return Err(Errno::last());
    }
    if pid == 0 {
        drop(reader);
        let _ = File::from(writer).write_all(&work());
        exit_now(0);
    }
    drop(writer);
    let ended = read_until_end(reader, limit);
    if ended.is_none() {
        let _ = call!(libc::SYS_kill, pid, libc::SIGKILL);
    }
    let status = wait_for(pid);
    Ok(match ended {
        None => Ended::TooLong,
        Some(said) if said.is_empty() && libc::WIFSIGNALED(status) => Ended::Signal(libc::WTERMSIG(status)),
        Some(said) => Ended::Said(said),
    })
}

/// Has a child do this and end with what comes of it.
pub(crate) fn begin_child(work: impl FnOnce() -> i32) -> Result<i32, Errno> {
    // SAFETY: the probe has one thread, so the child may use everything that the parent could.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last()),
        0 => exit_now(work()),
        pid => Ok(pid),
    }
}

/// With which code a child ended by itself, of the status of [`wait_for`].
pub(crate) fn exit_code(status: i32) -> Option<i32> {
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

fn read_until_end(reader: OwnedFd, limit: Duration) -> Option<Vec<u8>> {
    let until = Instant::now() + limit;
    let mut file = File::from(reader);
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut poll = [rustix::event::PollFd::new(&file, rustix::event::PollFlags::IN)];
        let wait = rustix::event::Timespec { tv_sec: left.as_secs().min(3600) as i64, tv_nsec: 0 };
        match rustix::event::poll(&mut poll, Some(&wait)) {
            Ok(0) if left.as_secs() == 0 => return None,
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return Some(said),
        }
        match file.read(&mut buffer) {
            Ok(0) | Err(_) => return Some(said),
            Ok(length) => said.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Waits for a child and returns its status in the form of wait(2).
pub(crate) fn wait_for(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` outlives the call. A child of ours always ends, so this does too.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } == -1
        && Errno::last() == Errno(libc::EINTR)
    {}
    status
}

/// Ends this process at once, without anything that a parent would do as well.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process; nothing runs afterwards.
    unsafe { libc::_exit(status) }
}

/// Makes a process with clone(2) and these flags; it ends at once.
pub(crate) fn clone_and_end(flags: u64) -> Result<i32, Errno> {
    // SAFETY: without CLONE_VM this is a fork; the child only ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD as u64, 0, 0, 0, 0) };
    finish_clone(pid)
}

/// Makes a process with clone3(2) and these flags; it ends at once.
pub(crate) fn clone3_and_end(flags: u64) -> Result<i32, Errno> {
    // clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
    let arguments: [u64; 8] = [flags, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    // SAFETY: the structure is of the size that is said; without CLONE_VM this is a fork; the child only ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    finish_clone(pid)
}

fn finish_clone(pid: i64) -> Result<i32, Errno> {
    match pid {
        -1 => Err(Errno::last()),
        0 => exit_now(0),
        pid => Ok(wait_for(pid as i32)),
    }
}

/// Reads memory of another process (process_vm_readv(2)).
pub(crate) fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the local vector is `into`; the remote one is only read, and in another process.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| Errno::last())
}

/// Writes memory of another process (process_vm_writev(2)).
pub(crate) fn write_memory(pid: i32, address: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the local vector is only read; the remote one is in another process.
    let written = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(written).map_err(|_| Errno::last())
}

/// Copies the segment of System V shared memory with this key.
pub(crate) fn shared_memory(key: i32) -> Result<Vec<u8>, Errno> {
    let id = call!(libc::SYS_shmget, key, 0, 0)? as i32;
    // SAFETY: the kernel picks an address that is free.
    let start = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
    if start as isize == -1 {
        return Err(Errno::last());
    }
    // SAFETY: every segment is at least a page, and this one stays attached until it was copied.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), 4096) }.to_vec();
    // SAFETY: attached above; nothing refers to it any more.
    unsafe { libc::shmdt(start) };
    Ok(bytes)
}

/// Makes a segment of System V shared memory that begins with these bytes (at most a page).
pub(crate) fn make_shared_memory(key: i32, bytes: &[u8]) -> Result<i32, Errno> {
    let id = call!(libc::SYS_shmget, key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o666)? as i32;
    // SAFETY: the kernel picks an address that is free.
    let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    if start as isize == -1 {
        return Err(Errno::last());
    }
    // SAFETY: the segment is a page, and no more than that is copied; nothing else refers to it.
    unsafe { start.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len().min(4096)) };
    // SAFETY: attached above.
    unsafe { libc::shmdt(start) };
    Ok(id)
}

/// Makes a system call of the i386 table with `int 0x80`. Arguments are numbers below 2³².
#[cfg(target_arch = "x86_64")]
pub(crate) fn i386(number: u32, first: u32, second: u32, third: u32) -> Result<i64, Errno> {
    let result: i64;
    // SAFETY: the callers use calls without pointers (getpid, chmod with an address that is refused).
    // The kernel keeps all registers but rax; r8 to r11 are clobbered on older kernels. rbx belongs to
    // LLVM and is exchanged around the call.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) u64::from(first) => _,
            inlateout("rax") u64::from(number) => result,
            in("rcx") u64::from(second),
            in("rdx") u64::from(third),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let result = result as i32;
    if (-4095..0).contains(&result) { Err(Errno(-result)) } else { Ok(i64::from(result)) }
}

/// Other processors have no such table.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn i386(_: u32, _: u32, _: u32, _: u32) -> Result<i64, Errno> {
    Err(Errno(libc::ENOSYS))
}

/// A page that lies below 4 GiB, where the i386 calls can reach it.
#[derive(Debug)]
pub(crate) struct LowPage(*mut libc::c_void);

impl LowPage {
    /// A page that begins with these bytes, of which as many as fit are taken.
    pub(crate) fn with(bytes: &[u8]) -> Result<Self, Errno> {
        #[cfg(target_arch = "x86_64")]
        let low = libc::MAP_32BIT;
        #[cfg(not(target_arch = "x86_64"))]
        let low = 0;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | low);
        // SAFETY: an anonymous mapping at an address that the kernel picks.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: the page is ours alone, and no more than a page is copied.
        unsafe { start.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len().min(4096)) };
        Ok(Self(start))
    }

    /// Its address.
    pub(crate) fn address(&self) -> u32 {
        self.0 as usize as u32
    }
}

impl Drop for LowPage {
    fn drop(&mut self) {
        // SAFETY: mapped by `with`; nothing refers to it any more.
        unsafe { libc::munmap(self.0, 4096) };
    }
}

/// Sets the file mode creation mask and returns the one before (umask(2)).
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: has no memory to go wrong with.
    unsafe { libc::umask(mask) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_says_what_it_found_and_its_death_is_told() {
        let limit = Duration::from_secs(60);
        let Ok(Ended::Said(said)) = in_child(limit, || b"found".to_vec()) else { panic!("no answer") };
        assert_eq!(said, b"found");
        let killed = in_child(limit, || {
            let _ = call!(libc::SYS_kill, std::process::id(), libc::SIGKILL);
            Vec::new()
        });
        assert!(matches!(killed, Ok(Ended::Signal(libc::SIGKILL))));
    }

    #[test]
    fn raw_calls_answer_like_the_library() {
        assert_eq!(call!(libc::SYS_getpid), Ok(i64::from(std::process::id())));
        assert_eq!(call!(libc::SYS_close, -1), Err(Errno(libc::EBADF)));
        let mut text = [0_u8; 8];
        assert!(call!(libc::SYS_getrandom, text.as_mut_slice(), 8, 0).is_ok());
    }
}
