//! Messages on streams: a length and as many bytes.

use crate::runtime::Fd;
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::OwnedFd;

/// Most bytes of a request. A login with a key of 16384 bits has 8 KiB.
pub(super) const MAX_REQUEST_BYTES: usize = 32 << 10;
/// Most bytes of an answer of the person's agent, as OpenSSH has it.
pub(super) const MAX_ANSWER_BYTES: usize = 256 << 10;

/// The next message; none when the stream has ended before one began.
///
/// # Errors
/// When it ends in the middle of one, or one is longer than `most`.
pub(super) async fn read(stream: &Fd<OwnedFd>, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if !fill(stream, &mut length).await? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    if !message.is_empty() && !fill(stream, &mut message).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

/// Fills the bytes; false when the stream has ended before the first.
async fn fill(stream: &Fd<OwnedFd>, bytes: &mut [u8]) -> io::Result<bool> {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &mut bytes[at..];
        let received = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut *rest, RecvFlags::empty())?.0);
        match stream.read_with(received).await? {
            0 if at == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => at += count,
        }
    }
    Ok(true)
}

/// Writes a message.
///
/// # Errors
/// When nobody reads any more.
pub(super) async fn write(stream: &Fd<OwnedFd>, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let sent = stream.write_with(|fd| Ok(rustix::net::send(fd, rest, SendFlags::NOSIGNAL)?)).await?;
        rest = &rest[sent..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::block_on;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_longer_than_allowed_is_not_read() {
        block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let [ours, theirs] = [ours, theirs].map(|stream| Fd::new(OwnedFd::from(stream)).unwrap());
            for length in [9, 10] {
                write(&theirs, &vec![7; length]).await.unwrap();
            }
            assert_eq!(read(&ours, 9).await.unwrap().unwrap(), [7; 9]);
            assert_eq!(read(&ours, 9).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        })
        .unwrap();
    }
}
