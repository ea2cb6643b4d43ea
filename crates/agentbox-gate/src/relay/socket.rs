//! What is done with sockets beside moving bytes.

use crate::runtime::{Fd, sleep, timeout};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, sockopt};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A connection.
pub(crate) type Socket = Fd<OwnedFd>;

/// How long a client may take to read why it was refused.
pub(crate) const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// After which silence the other side is asked whether it is still there, and how often. An hour of silence
/// is usual; a machine that went away is noticed within five minutes more.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_COUNT: u32 = 5;
/// Time for descriptors or memory to become free again.
const SHORTAGE: Duration = Duration::from_millis(100);
/// What is read at once by who looks at it.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// The next connection. Waits while there is no descriptor or memory for it.
pub(crate) async fn accept(listener: &Socket) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        match listener.read_with(|fd| Ok(rustix::net::accept_with(fd, flags)?)).await {
            Ok(accepted) => return accepted,
            // The connection was gone before it was taken (accept(2)); the next one may be there.
            Err(error) if is_about_connection(&error) => crate::runtime::give_way().await,
            Err(_) => sleep(SHORTAGE).await,
        }
    }
}

fn is_about_connection(error: &io::Error) -> bool {
    let errors = [Errno::CONNABORTED, Errno::PROTO, Errno::NETDOWN, Errno::HOSTUNREACH, Errno::NETUNREACH];
    Errno::from_io_error(error).is_some_and(|errno| errors.contains(&errno))
}

/// What both sides of a relayed connection get.
pub(crate) fn prepare(socket: &Socket) {
    let fd = socket.get();
    // Each is better missing than a reason not to relay.
    let _ = sockopt::set_tcp_nodelay(fd, true);
    let _ = sockopt::set_socket_keepalive(fd, true);
    let _ = sockopt::set_tcp_keepidle(fd, KEEPALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(fd, KEEPALIVE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(fd, KEEPALIVE_COUNT);
}

/// Closes a connection with RST.
pub(crate) fn reset(socket: Socket) {
    drop_with_reset(socket.into_inner());
}

/// Closes a connection with RST.
pub(crate) fn drop_with_reset(fd: OwnedFd) {
    let _ = sockopt::set_socket_linger(&fd, Some(Duration::ZERO));
    drop(fd);
}

/// Tells the other side that nothing more comes.
pub(crate) fn end(socket: &Socket) {
    let _ = rustix::net::shutdown(socket.get(), Shutdown::Write);
}

/// Waits until a connection that is being made is there.
pub(crate) async fn connected(socket: &Socket) -> io::Result<()> {
    let check = |fd: &OwnedFd| {
        sockopt::socket_error(fd)??;
        match rustix::net::getpeername(fd) {
            Ok(_) => Ok(()),
            Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    };
    socket.write_with(check).await
}

/// Waits until the other side resets a connection that has been read to its end. Never ends without that. On
/// another connection it would take the news of bytes that can be read from who waits for these.
pub(crate) async fn was_reset(socket: &Socket) {
    let check = |fd: &OwnedFd| match sockopt::socket_error(fd)? {
        Ok(()) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        Err(_) => Ok(()),
    };
    let _ = socket.read_with(check).await;
}

/// The first byte that comes, which stays where it is; none at the end.
pub(crate) async fn first_byte(socket: &Socket) -> io::Result<Option<u8>> {
    socket.read_with(peek).await
}

/// The next byte, if there is one now.
pub(crate) fn peek(fd: &OwnedFd) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let (count, _) = rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK)?;
    Ok((count > 0).then_some(byte[0]))
}

/// Reads a piece and looks at it. Nothing is kept for the next one, and nothing while there is none. `look`
/// gets an empty piece at the end.
pub(crate) async fn read_piece<R>(socket: &Socket, mut look: impl FnMut(&[u8]) -> R) -> io::Result<R> {
    socket
        .read_with(|fd| {
            let mut piece = [0; PIECE_BYTES];
            let (count, _) = rustix::net::recv(fd, &mut piece[..], RecvFlags::empty())?;
            Ok(look(&piece[..count]))
        })
        .await
}

/// Writes all bytes.
pub(crate) async fn write_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = socket.write_with(|fd| Ok(rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)?)).await?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Says some last words so that they are surely read: closing a socket with unread bytes sends RST, and what
/// was said before is lost with it (RFC 9112, section 9.6).
pub(crate) async fn farewell(socket: Socket, words: &[u8], limit: Duration) {
    let goodbye = async {
        write_all(&socket, words).await?;
        end(&socket);
        while read_piece(&socket, <[u8]>::len).await? > 0 {}
        io::Result::Ok(())
    };
    // However this ends, the connection is over.
    let _ = timeout(limit, goodbye).await;
}
