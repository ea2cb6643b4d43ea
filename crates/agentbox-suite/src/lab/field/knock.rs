//! Somebody outside who knocks at a port that no session published, on every address by which one could be meant.

use super::super::space::Space;
use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{PipeWriter, Write, pipe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two rounds.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };
const LIMIT: Duration = Duration::from_millis(100);

/// Knocks until it is dropped.
#[derive(Debug)]
pub(super) struct Knocking {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Knocking {
    /// Knocks from a namespace.
    pub(super) fn start(space: &Space, targets: Vec<SocketAddr>, token: &'static str) -> Result<Self> {
        let (stopped, stop) = pipe()?;
        let from = space.path();
        let thread = std::thread::spawn(move || {
            // A thread whose namespace is another makes no sockets elsewhere; it ends with this.
            let entered = std::fs::File::open(&from).is_ok_and(|handle| {
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(rustix::fd::AsFd::as_fd(&handle), Some(kind))
                    .is_ok()
            });
            if !entered {
                return;
            }
            loop {
                for to in &targets {
                    knock(*to, token);
                }
                let waited = poll(&mut [PollFd::new(&stopped, PollFlags::IN)], Some(&PAUSE));
                if matches!(waited, Ok(1..)) {
                    break;
                }
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Nobody has to be there.
fn knock(to: SocketAddr, token: &str) {
    if let Ok(mut stream) = TcpStream::connect_timeout(&to, LIMIT) {
        let _ = stream.write_all(token.as_bytes());
    }
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if let Ok(socket) = UdpSocket::bind((any, 0)) {
        let _ = socket.send_to(token.as_bytes(), to);
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
