//! The socket of a peer, as zbus reads and writes it.
//!
//! zbus makes room for a message of 128 MiB as soon as one is announced, keeps every descriptor that comes while
//! it waits for the rest, and its handshake panics at a line that is only a line feed. A peer may be anybody on
//! this host, so each of these has its end here, before zbus sees it.

use agentbox_ipc::MAX_TEXT_BYTES;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use zbus::Message;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;
use zbus::message::Type;

/// Most bytes of a message: the largest request is all the text that a dictionary may hold, and the marks around
/// its values.
pub(super) const MAX_MESSAGE_BYTES: u64 = 2 * MAX_TEXT_BYTES as u64;
/// Most descriptors that come with one message; a start sends one.
const MAX_DESCRIPTORS: usize = 16;
/// Most bytes of a handshake. A client's are about a hundred.
const MAX_HANDSHAKE_BYTES: usize = 4096;
/// How long a message may take from its first bytes to its last. A client writes it at once.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
/// Most calls of one connection whose answers its peer has not taken. What comes after them is read when it has: zbus
/// keeps a task and an answer for each. More than there may be sessions of one owner, for each of which it may wait.
const MAX_UNANSWERED: usize = 96;
/// How often it is looked whether a peer is still there that nothing is read of.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a message that say how long it is (D-Bus specification, "Message Format").
const HEADER_BYTES: usize = 16;

/// A connected socket, for zbus.
#[derive(Debug)]
pub(super) struct Peer {
    /// The socket, which whoever keeps it can shut down.
    pub(super) stream: Arc<UnixStream>,
    /// Who is at the other end.
    pub(super) uid: u32,
    /// Most bytes of a message of theirs.
    pub(super) max_bytes: u64,
}

impl Socket for Peer {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let incoming = Incoming {
            stream: Arc::clone(&self.stream),
            ahead: Vec::new(),
            descriptors: Vec::new(),
            descriptors_received: 0,
        };
        let Self { stream, uid, max_bytes } = self;
        let unanswered = Arc::new(Semaphore::new(MAX_UNANSWERED));
        let writer = Writer { stream, unanswered: Arc::clone(&unanswered) };
        Split::new(Reader { incoming, uid, max_bytes, unanswered, handshake_bytes: 0, last: 0 }, writer)
    }
}

/// What comes from a peer.
#[derive(Debug)]
pub(super) struct Reader {
    incoming: Incoming,
    uid: u32,
    max_bytes: u64,
    /// A place for each call that may still come before one is answered.
    unanswered: Arc<Semaphore>,
    /// Read of the handshake, and the last byte of it.
    handshake_bytes: usize,
    last: u8,
}

impl Reader {
    /// Waits until one more call may come.
    async fn place(&self) -> io::Result<SemaphorePermit<'_>> {
        loop {
            match tokio::time::timeout(LOOK, self.unanswered.acquire()).await {
                Ok(place) => return place.map_err(io::Error::other),
                Err(_elapsed) if is_gone(&self.incoming.stream)? => {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Err(_elapsed) => {}
            }
        }
    }
}

#[async_trait]
impl ReadHalf for Reader {
    /// Of the handshake, which zbus reads with this: one byte each time, so that nothing of what follows it is
    /// read with it.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let one = buffer.get_mut(..1).ok_or(ErrorKind::InvalidInput)?;
        let (count, descriptors) = self.incoming.recvmsg(one).await?;
        self.handshake_bytes += count;
        let is_bare_line_feed = one[0] == b'\n' && self.last != b'\r';
        self.last = one[0];
        if is_bare_line_feed || !descriptors.is_empty() || self.handshake_bytes > MAX_HANDSHAKE_BYTES {
            return Err(refused("no handshake"));
        }
        Ok((count, descriptors))
    }

    async fn receive_message(
        &mut self,
        seq: u64,
        received: &mut Vec<u8>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        // It is taken again when it is known that a call has come; nobody else takes any.
        drop(self.place().await?);
        let header = self.incoming.look_ahead().await?;
        match announced(header) {
            Some(bytes) if bytes <= self.max_bytes => {}
            _ => return Err(refused("a message that is larger than any request, or none").into()),
        }
        // Of the handshake nothing is left, so both of these are empty.
        let whole = self.incoming.receive_message(seq, received, descriptors);
        let late = |_elapsed| io::Error::from(ErrorKind::TimedOut);
        let message = tokio::time::timeout(MESSAGE_LIMIT, whole).await.map_err(late)??;
        // Each call is answered once, whatever its flags ask for.
        if message.message_type() == Type::MethodCall {
            self.place().await?.forget();
        }
        Ok(message)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(ConnectionCredentials::default().set_unix_user_id(self.uid))
    }
}

/// The bytes of messages, with what was read ahead of one.
#[derive(Debug)]
struct Incoming {
    stream: Arc<UnixStream>,
    ahead: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Since the message began.
    descriptors_received: usize,
}

impl Incoming {
    /// The first bytes of the next message, which stay to be read.
    async fn look_ahead(&mut self) -> io::Result<[u8; HEADER_BYTES]> {
        self.descriptors_received = 0;
        let mut header = [0; HEADER_BYTES];
        let mut length = 0;
        while length < HEADER_BYTES {
            let (count, descriptors) = self.recvmsg(&mut header[length..]).await?;
            self.descriptors.extend(descriptors);
            length += count;
        }
        self.ahead.extend(header);
        Ok(header)
    }
}

#[async_trait]
impl ReadHalf for Incoming {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Ok((count, std::mem::take(&mut self.descriptors)));
        }
        let stream = Arc::clone(&self.stream);
        let (count, descriptors) = stream.async_io(Interest::READABLE, || receive(&stream, buffer)).await?;
        self.descriptors_received += descriptors.len();
        match count {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ if self.descriptors_received > MAX_DESCRIPTORS => Err(refused("too many descriptors")),
            _ => Ok((count, descriptors)),
        }
    }
}

/// What goes to a peer.
#[derive(Debug)]
pub(super) struct Writer {
    stream: Arc<UnixStream>,
    unanswered: Arc<Semaphore>,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let bytes = message.data();
        let mut sent = 0;
        while sent < bytes.len() {
            let descriptors = if sent == 0 { bytes.fds() } else { &[] };
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            sent += self.sendmsg(&bytes[sent..], &descriptors).await?;
        }
        if matches!(message.message_type(), Type::MethodReturn | Type::Error) {
            self.unanswered.add_permits(1);
        }
        Ok(())
    }

    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream.async_io(Interest::WRITABLE, || send(&self.stream, buffer, descriptors)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        end(&self.stream)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Whether the other end has been closed.
fn is_gone(stream: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

/// Ends a conversation, whoever of it waits for what.
pub(super) fn end(stream: &UnixStream) -> io::Result<()> {
    match shutdown(stream, Shutdown::Both) {
        // They were first.
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Bytes of the message that begins with these, when they begin one: the primary header, its fields up to a
/// multiple of eight, and the body.
fn announced(header: [u8; HEADER_BYTES]) -> Option<u64> {
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        match header[0] {
            b'l' => Some(u64::from(u32::from_le_bytes(bytes))),
            b'B' => Some(u64::from(u32::from_be_bytes(bytes))),
            _ => None,
        }
    };
    let (body, fields) = (number(4)?, number(12)?);
    Some((HEADER_BYTES as u64 + fields).next_multiple_of(8) + body)
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // Those that had no place here were closed by the kernel (unix(7)).
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(refused("too many descriptors"));
    }
    Ok((received.bytes, descriptors))
}

fn send(stream: &UnixStream, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(refused("too many descriptors"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(buffer)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use zbus::connection::Builder;
    use zbus::{Connection, Guid, MessageStream};

    type StdStream = std::os::unix::net::UnixStream;
    const HELLO: &[u8] = b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

    fn peer() -> (StdStream, Peer) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let theirs = theirs.into_std().unwrap();
        (theirs, Peer { stream: Arc::new(ours), uid: 0, max_bytes: MAX_MESSAGE_BYTES })
    }

    async fn serve(peer: Peer) -> zbus::Result<Connection> {
        in_time(Builder::socket(peer).server(Guid::generate()).p2p().build()).await
    }

    async fn in_time<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(5), what).await.expect("it is waited for what never comes")
    }

    /// A method call that says it has a body of this length.
    fn header(body: u32) -> Vec<u8> {
        let numbers = [body, 1, 0].map(u32::to_le_bytes).concat();
        [b"l\x01\x00\x01".as_slice(), &numbers].concat()
    }

    #[tokio::test]
    async fn what_is_no_handshake_ends_the_connection_and_nothing_else() {
        let long = [b"\0".as_slice(), &[b'A'; 2 * MAX_HANDSHAKE_BYTES]].concat();
        for nonsense in [b"\n".as_slice(), b"\0\n", b"\0AUTH EXTERNAL 30\r\n\n", &long] {
            let (mut theirs, peer) = peer();
            theirs.write_all(nonsense).unwrap();
            assert!(serve(peer).await.is_err(), "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn a_message_larger_than_any_request_ends_the_connection_before_there_is_room_for_it() {
        for first in [header(120 << 20), header(u32::MAX), b"x123456789abcdef".to_vec()] {
            let (mut theirs, peer) = peer();
            theirs.write_all(HELLO).unwrap();
            let connection = serve(peer).await.unwrap();
            theirs.write_all(&first).unwrap();
            in_time(connection.closed()).await;
        }
        assert_eq!(announced([0; HEADER_BYTES]), None);
        let of = |body, fields: u32| {
            let mut first: [u8; HEADER_BYTES] = header(body).try_into().unwrap();
            first[12..].copy_from_slice(&fields.to_le_bytes());
            announced(first)
        };
        assert_eq!((of(0, 0), of(5, 1), of(0, 8)), (Some(16), Some(29), Some(24)));
        assert_eq!(
            of(u32::MAX, u32::MAX),
            Some((16 + u64::from(u32::MAX)).next_multiple_of(8) + u64::from(u32::MAX))
        );
    }

    #[tokio::test]
    async fn large_requests_and_descriptors_come_through_both_ways() {
        let (theirs, peer) = peer();
        let client = Builder::unix_stream(theirs).p2p().build();
        let (server, client) = tokio::join!(serve(peer), client);
        let (server, client) = (server.unwrap(), client.unwrap());
        for (from, to) in [(&client, &server), (&server, &client)] {
            let mut heard = MessageStream::from(to);
            let (mut kept, given) = StdStream::pair().unwrap();
            let body = (zbus::Fd::from(given.as_fd()), "x".repeat(MAX_TEXT_BYTES));
            let sent = from.emit_signal(None::<&str>, "/a", "a.b", "C", &body);
            let (sent, message) = tokio::join!(sent, heard.next());
            sent.unwrap();
            let message = message.unwrap().unwrap();
            let body = message.body();
            let (came, text): (zbus::OwnedFd, String) = body.deserialize().unwrap();
            assert_eq!(text.len(), MAX_TEXT_BYTES);
            StdStream::from(OwnedFd::from(came)).write_all(b"it").unwrap();
            let mut read = [0; 2];
            kept.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"it");
        }
    }

    /// Whose answers are larger than what a socket holds.
    struct Large(Arc<AtomicUsize>);

    #[zbus::interface(name = "a.b")]
    impl Large {
        async fn c(&self) -> String {
            self.0.fetch_add(1, Ordering::SeqCst);
            "x".repeat(1 << 20)
        }
    }

    #[tokio::test]
    async fn who_takes_no_answers_is_heard_no_more_and_seen_to_leave() {
        let (mut theirs, peer) = peer();
        theirs.write_all(HELLO).unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let server = Builder::socket(peer).server(Guid::generate()).p2p();
        let server = server.serve_at("/a", Large(Arc::clone(&answered))).build();
        let server = in_time(server).await.unwrap();
        for _ in 0..200 {
            let call = Message::method_call("/a", "C").interface("a.b").build(&()).unwrap();
            theirs.write_all(call.data()).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // One is on its way.
        let count = answered.load(Ordering::SeqCst);
        assert!((MAX_UNANSWERED..=MAX_UNANSWERED + 1).contains(&count), "{count}");
        // Who takes some is heard again.
        let theirs_async = UnixStream::from_std(theirs.try_clone().unwrap()).unwrap();
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 16];
        let take = async {
            while answered.load(Ordering::SeqCst) < MAX_UNANSWERED + 5 {
                taken +=
                    theirs_async.async_io(Interest::READABLE, || (&theirs).read(&mut buffer)).await.unwrap();
            }
        };
        in_time(take).await;
        assert!(taken > 1 << 20);
        drop((theirs, theirs_async));
        in_time(server.closed()).await;
    }

    #[tokio::test]
    async fn descriptors_that_come_one_by_one_are_not_collected() {
        let (mut theirs, peer) = peer();
        theirs.write_all(HELLO).unwrap();
        let connection = serve(peer).await.unwrap();
        theirs.write_all(&header(4 << 20)).unwrap();
        let theirs = UnixStream::from_std(theirs).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        for _ in 0..2 * MAX_DESCRIPTORS {
            let sent = theirs.async_io(Interest::WRITABLE, || send(&theirs, b"x", &[null.as_fd()])).await;
            if sent.is_err() {
                break;
            }
        }
        in_time(connection.closed()).await;
    }
}
