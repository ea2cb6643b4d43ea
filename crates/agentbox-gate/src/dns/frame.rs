//! Messages on a stream: a length of two bytes before each (RFC 1035, section 4.2.2).

use crate::runtime::Fd;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::AsFd;

/// Reads until `bytes` are full; false when the stream ended before the first of them.
async fn fill<T: AsFd>(stream: &Fd<T>, bytes: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        let (count, _) = stream.read_with(|fd| Ok(recv(fd, &mut *rest, RecvFlags::empty())?)).await?;
        match count {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(true)
}

/// Reads a message; none when the stream has ended.
///
/// # Errors
/// When the stream ends within a message, when the message is longer than `most`, or those of recv(2).
pub async fn read_frame<T: AsFd>(stream: &Fd<T>, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if !fill(stream, &mut length).await? {
        return Ok(None);
    }
    let length = usize::from(u16::from_be_bytes(length));
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    if length > 0 && !fill(stream, &mut message).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

/// Writes a message.
///
/// # Errors
/// When the message is longer than a length can say, or those of send(2).
pub async fn write_frame<T: AsFd>(stream: &Fd<T>, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // In one piece: some servers read the length and the message by one call.
    let frame = [&length.to_be_bytes()[..], message].concat();
    let mut rest = &frame[..];
    while !rest.is_empty() {
        let count = stream.write_with(|fd| Ok(send(fd, rest, SendFlags::NOSIGNAL)?)).await?;
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{block_on, give_way, spawn};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_that_comes_in_pieces_is_put_together() {
        block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let ours = Fd::new(ours).unwrap();
            spawn(async move {
                for byte in b"\0\x05hello\0\0\0\x01" {
                    theirs.write_all(&[*byte]).unwrap();
                    give_way().await;
                }
            });
            assert_eq!(read_frame(&ours, 9).await.unwrap().unwrap(), b"hello");
            assert_eq!(read_frame(&ours, 9).await.unwrap().unwrap(), b"");
            assert_eq!(read_frame(&ours, 9).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(read_frame(&ours, 9).await.unwrap().is_none());
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let ours = Fd::new(ours).unwrap();
            theirs.write_all(b"\0").unwrap();
            drop(theirs);
            assert_eq!(read_frame(&ours, 9).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        })
        .unwrap();
    }

    #[test]
    fn what_is_longer_than_allowed_is_not_read() {
        block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (ours, theirs) = (Fd::new(ours).unwrap(), Fd::new(theirs).unwrap());
            write_frame(&theirs, &[7; 10]).await.unwrap();
            assert_eq!(read_frame(&ours, 9).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert!(write_frame(&theirs, &[7; 65_536]).await.is_err());
        })
        .unwrap();
    }
}
