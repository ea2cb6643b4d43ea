//! The socket to PID 1 of the session. What arrives is as trusted as the agent.

use agentbox_plan::Wire;
use agentbox_plan::inner::{FromInner, MAX_BYTES, ToInner};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send,
    sockopt::set_socket_send_buffer_size,
};
use std::collections::VecDeque;
use std::mem::MaybeUninit;

/// Most bytes that wait for PID 1 to read. Beyond them it is not heard any more.
const QUEUE_BYTES: usize = 1 << 20;
/// A start carries five descriptors; the kernel closes what does not fit.
const DESCRIPTORS: usize = 8;

/// What a packet was.
#[derive(Debug)]
pub(super) enum Packet {
    /// A message with the descriptors it carried.
    Message(FromInner, Vec<OwnedFd>),
    /// Nothing that makes sense: it is dropped, and its descriptors are closed.
    Garbage,
    /// There is none now.
    Nothing,
    /// There will be none any more.
    End,
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// It is longer than [`MAX_BYTES`].
    TooLong,
    /// Too much waits already, or PID 1 is gone.
    Full,
}

/// The socket and what waits for it.
#[derive(Debug)]
pub(super) struct Inner {
    socket: Option<OwnedFd>,
    queue: VecDeque<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Inner {
    pub(super) fn new(socket: OwnedFd) -> Self {
        // So that the longest message fits whatever net.core.wmem_default says. Best effort: with the
        // kernel's own default it fits anyway.
        let _ = set_socket_send_buffer_size(&socket, 2 * MAX_BYTES);
        Self { socket: Some(socket), queue: VecDeque::new(), buffer: vec![0; MAX_BYTES + 1] }
    }

    /// The socket, while there is one.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Queues a message.
    pub(super) fn say(&mut self, message: &ToInner) -> Result<(), Unsendable> {
        let bytes = message.to_bytes();
        if bytes.len() > MAX_BYTES {
            return Err(Unsendable::TooLong);
        }
        // A message costs at least a page in the queue's accounting, so that tiny ones are bounded too.
        let cost = |bytes: &Vec<u8>| bytes.len().max(4096);
        if self.socket.is_none() || self.queue.iter().map(cost).sum::<usize>() + cost(&bytes) > QUEUE_BYTES {
            return Err(Unsendable::Full);
        }
        self.queue.push_back(bytes);
        Ok(())
    }

    /// Sends what PID 1 takes.
    pub(super) fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Some(first) = self.queue.front() {
            match send(socket, first, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // Sent; or PID 1 is gone, which reading tells.
                Ok(_) | Err(_) => drop(self.queue.pop_front()),
            }
        }
    }

    /// Reads one packet.
    pub(super) fn receive(&mut self) -> Packet {
        let Some(socket) = &self.socket else { return Packet::End };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut self.buffer)], &mut control, flags);
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        match received {
            Err(Errno::AGAIN | Errno::INTR) => Packet::Nothing,
            // PID 1 ended and left something unread. The kernel says so once, ahead of what it sent before
            // (af_unix.c: unix_release_sock), and that is how the agent ended.
            Err(Errno::CONNRESET) => Packet::Garbage,
            // An empty packet looks like the end. PID 1 never sends one; its pidfd says whether it lives.
            Ok(message) if message.bytes == 0 => self.close(),
            Err(_) => self.close(),
            Ok(message) if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) => {
                Packet::Garbage
            }
            Ok(message) => match FromInner::from_bytes(&self.buffer[..message.bytes]) {
                Ok(message) => Packet::Message(message, descriptors),
                Err(_) => Packet::Garbage,
            },
        }
    }

    fn close(&mut self) -> Packet {
        self.socket = None;
        self.queue.clear();
        Packet::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::Exit;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn the_last_word_is_heard_even_when_pid_1_left_something_unread() {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut inner = Inner::new(near);
        inner.say(&ToInner::SignalAll { signal: 15 }).unwrap();
        inner.flush();
        let last = FromInner::Ended { number: 0, exit: Exit::Code { status: 6 } };
        send(&far, &last.to_bytes(), SendFlags::empty()).unwrap();
        drop(far);
        let packets: Vec<Packet> = (0..3).map(|_| inner.receive()).collect();
        assert!(
            packets.iter().any(|packet| matches!(packet, Packet::Message(message, _) if *message == last))
        );
        assert!(matches!(inner.receive(), Packet::End));
    }

    #[test]
    fn what_waits_for_pid_1_is_bounded_in_bytes_and_in_number() {
        for payload in [0, 64 * 1024] {
            let (near, _far) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
            let mut inner = Inner::new(near);
            let message = ToInner::Exec {
                number: 1,
                process: agentbox_plan::Process {
                    arguments: vec![std::ffi::CString::new("x".repeat(payload)).unwrap()],
                    environment: Vec::new(),
                    directory: agentbox_plan::InnerPath::new("/").unwrap(),
                    streams: agentbox_plan::Streams::PIPES,
                    size: agentbox_plan::TerminalSize::default(),
                },
            };
            let queued = (0..1000).take_while(|_| inner.say(&message).is_ok()).count();
            assert!(queued <= 256 && queued * message.to_bytes().len() <= QUEUE_BYTES, "{queued}");
            assert_eq!(inner.say(&message), Err(Unsendable::Full));
        }
    }
}
