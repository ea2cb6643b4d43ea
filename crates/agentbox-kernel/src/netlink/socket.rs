//! A netlink socket: requests that are answered, dumps, and events.

use super::message::{Message, Received, received};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::num::NonZeroU32;

/// Larger than any packet of the kernel's: a dump fills at most 32 KiB (netlink(7)).
const PACKET_BYTES: usize = 64 << 10;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one in the network namespace of this thread.
    pub(crate) fn open(protocol: i32) -> io::Result<Self> {
        let protocol = u32::try_from(protocol).ok().and_then(NonZeroU32::new).map(Protocol::from_raw);
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        // Without a number of its own a socket counts as the kernel's, and gets no events.
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { fd, buffer: vec![0; PACKET_BYTES] })
    }

    /// Asks for the events of a group.
    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        crate::sys::join_netlink_group(self.fd.as_fd(), group)
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, true)?)
    }

    /// Sends messages and waits for their acknowledgements; the first refusal is the error.
    pub(crate) fn request(&mut self, message: &Message) -> io::Result<()> {
        self.send(message)?;
        let mut left = message.acknowledged;
        let mut result = Ok(());
        while left > 0 {
            let count = self.receive()?;
            for received in received(&self.buffer[..count]) {
                if let Some(errno) = error_number(&received) {
                    left = left.saturating_sub(1);
                    if errno != 0 && result.is_ok() {
                        result = Err(io::Error::from_raw_os_error(-errno));
                    }
                }
            }
            // A batch that was refused is answered only as far as it was read.
            if result.is_err() {
                self.drain();
                break;
            }
        }
        result
    }

    /// Sends a message and hands over each part of its answer, up to the end of the dump.
    pub(crate) fn dump(&mut self, message: &Message, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.send(message)?;
        loop {
            let count = self.receive()?;
            for received in received(&self.buffer[..count]) {
                match error_number(&received) {
                    Some(0) => return Ok(()),
                    Some(errno) => return Err(io::Error::from_raw_os_error(-errno)),
                    None if received.kind == DONE => return Ok(()),
                    None => each(received.kind, received.body),
                }
            }
        }
    }

    /// Hands over the events that wait. On a non-blocking socket.
    ///
    /// # Errors
    /// `ENOBUFS` when events were lost; the next call goes on behind them.
    pub(crate) fn events(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        loop {
            match self.receive() {
                Ok(count) => received(&self.buffer[..count]).for_each(|one| each(one.kind, one.body)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&self, message: &Message) -> io::Result<()> {
        rustix::net::send(&self.fd, message.as_bytes(), SendFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty())
        });
        Ok(received?.0)
    }

    fn drain(&mut self) {
        let mut bytes = [0; 4096];
        while rustix::net::recv(&self.fd, &mut bytes[..], RecvFlags::DONTWAIT).is_ok() {}
    }
}

/// What an acknowledgement says, 0 or a negative errno.
fn error_number(received: &Received<'_>) -> Option<i32> {
    let is_error = received.kind == ERROR;
    is_error.then(|| received.body.get(..4)?.try_into().ok().map(i32::from_ne_bytes)).flatten()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}
