//! Listening sockets of the lab and the thread that serves them.

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{PipeWriter, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest that one connection is served while nothing comes.
const IDLE: Duration = Duration::from_secs(20);

/// Sockets that wait for what arrives.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) streams: Vec<TcpListener>,
    pub(super) datagrams: Vec<UdpSocket>,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Serves each connection on a thread of its own and each datagram at once.
    pub(super) fn start(
        sockets: Sockets,
        on_stream: impl Fn(TcpStream) + Clone + Send + 'static,
        on_datagram: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
    ) -> Result<Self> {
        let (stopped, stop) = pipe()?;
        for listener in &sockets.streams {
            listener.set_nonblocking(true)?;
        }
        for socket in &sockets.datagrams {
            socket.set_nonblocking(true)?;
        }
        let thread = std::thread::spawn(move || {
            loop {
                let mut watched = vec![PollFd::new(&stopped, PollFlags::IN)];
                watched.extend(sockets.streams.iter().map(|one| PollFd::new(one, PollFlags::IN)));
                watched.extend(sockets.datagrams.iter().map(|one| PollFd::new(one, PollFlags::IN)));
                let waited = poll(&mut watched, None);
                if matches!(waited, Err(error) if error != rustix::io::Errno::INTR)
                    || !watched[0].revents().is_empty()
                {
                    return;
                }
                for listener in &sockets.streams {
                    while let Ok((stream, _)) = listener.accept() {
                        let serve = on_stream.clone();
                        let prepared = stream
                            .set_nonblocking(false)
                            .and_then(|()| stream.set_read_timeout(Some(IDLE)))
                            .and_then(|()| stream.set_write_timeout(Some(IDLE)));
                        if prepared.is_ok() {
                            std::thread::spawn(move || serve(stream));
                        }
                    }
                }
                for socket in &sockets.datagrams {
                    let mut bytes = [0; 65536];
                    while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                        on_datagram(socket, &bytes[..length], from);
                    }
                }
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
