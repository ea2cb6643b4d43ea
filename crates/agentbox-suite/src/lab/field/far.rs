//! One place of the field: listeners that answer everything with a token, and a recorder of every packet.

use super::super::space::Space;
use super::answers::{self, Names};
use super::heard::Heard;
use anyhow::{Context, Result};
use rustix::event::epoll;
use rustix::fd::AsFd;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType, recv, socket_with,
};
use std::collections::HashMap;
use std::io::{ErrorKind, PipeWriter, Read, Write, pipe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most bytes of a stream in which a mark is looked for at once: the longest head that an attack sends.
const KEEP_BYTES: usize = 256 << 10;
/// Bytes of what was looked at that a mark may begin in.
const TAIL_BYTES: usize = 128;
/// IPPROTO_UDPLITE.
const UDP_LITE: u32 = 136;
/// ETH_P_ALL in the order of the wire.
const ALL_FRAMES: u32 = 0x0003_u16.to_be() as u32;

/// What answers at an address.
pub(super) type Token = fn(IpAddr) -> &'static str;

/// Where a place listens.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Every address, by streams.
    pub(super) streams: Vec<u16>,
    /// These addresses and ports, by datagrams.
    pub(super) datagrams: Vec<SocketAddr>,
    /// The same by UDP-Lite, where the kernel has it.
    pub(super) lite: Vec<SocketAddr>,
    /// Groups to join, with the number of the device.
    pub(super) groups: Vec<(IpAddr, u32)>,
    /// An abstract socket.
    pub(super) abstract_name: Option<String>,
}

/// A place that answers until it is dropped.
#[derive(Debug)]
pub(super) struct Far {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// What speaks.
struct Voice {
    place: &'static str,
    token: Token,
    names: Arc<Mutex<Names>>,
    heard: Heard,
}

/// What may have something to read.
enum Source {
    Listener(TcpListener),
    Stream(Stream),
    Datagrams(UdpSocket),
    Packets(OwnedFd),
    Unix(UnixListener),
    UnixStream(UnixStream),
    Stop,
}

struct Stream {
    stream: TcpStream,
    local: SocketAddr,
    bytes: Vec<u8>,
    answered: bool,
}

impl Far {
    /// Listens in a namespace.
    pub(super) fn start(
        space: &Space,
        place: &'static str,
        ports: &Ports,
        token: Token,
        names: Arc<Mutex<Names>>,
        heard: &Heard,
    ) -> Result<Self> {
        let sources = space.enter(|| open(ports))?.with_context(|| format!("listeners of {place}"))?;
        let (stopped, stop) = pipe()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &stopped, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let mut watched = Watched { epoll, sources: HashMap::from([(0, Source::Stop)]), next: 1 };
        for source in sources {
            watched.add(source)?;
        }
        let voice = Voice { place, token, names, heard: heard.clone() };
        let thread = std::thread::spawn(move || {
            let _stopped = stopped;
            serve(watched, &voice);
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Room for packets that were not looked at yet.
const PACKETS_BYTES: usize = 16 << 20;

fn open(ports: &Ports) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for port in &ports.streams {
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            let at = SocketAddr::new(any, *port);
            sources.push(Source::Listener(listener(at).with_context(|| format!("tcp {at}"))?));
        }
    }
    for at in &ports.datagrams {
        sources.push(Source::Datagrams(datagrams(*at, None).with_context(|| format!("udp {at}"))?));
    }
    for at in &ports.lite {
        // A kernel without it has nothing to attack.
        if let Ok(socket) = datagrams(*at, RawProtocol::new(UDP_LITE).map(Protocol::from_raw)) {
            sources.push(Source::Datagrams(socket));
        }
    }
    for (group, device) in &ports.groups {
        let of_family = |source: &&Source| {
            matches!(source, Source::Datagrams(socket) if socket.local_addr().is_ok_and(|at| {
                at.ip().is_unspecified() && at.is_ipv4() == group.is_ipv4()
            }))
        };
        for source in sources.iter().filter(of_family) {
            let Source::Datagrams(socket) = source else { continue };
            match group {
                // By the address of the link, which is the only one that is not the loopback's.
                IpAddr::V4(group) => socket.join_multicast_v4(group, &Ipv4Addr::UNSPECIFIED)?,
                IpAddr::V6(group) => socket.join_multicast_v6(group, *device)?,
            }
        }
    }
    if let Some(name) = &ports.abstract_name {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        sources.push(Source::Unix(UnixListener::bind_addr(&address)?));
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let all = RawProtocol::new(ALL_FRAMES).map(Protocol::from_raw);
    let packets = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, all)?;
    // What does not fit is lost without a word, and several attacks send at once.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&packets, PACKETS_BYTES)?;
    sources.push(Source::Packets(packets));
    Ok(sources)
}

fn family(at: SocketAddr) -> AddressFamily {
    if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// A listener of one family, so that the other can have the same port.
fn listener(at: SocketAddr) -> Result<TcpListener> {
    use rustix::net::{bind, listen, socket, sockopt};
    let socket = socket(family(at), SocketType::STREAM, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &at)?;
    listen(&socket, 4096)?;
    Ok(TcpListener::from(socket))
}

fn datagrams(at: SocketAddr, protocol: Option<Protocol>) -> Result<UdpSocket> {
    use rustix::net::{bind, sockopt};
    let socket = socket_with(family(at), SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &at)?;
    Ok(UdpSocket::from(socket))
}

struct Watched {
    epoll: OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,
}

impl Watched {
    fn add(&mut self, source: Source) -> Result<()> {
        let fd = match &source {
            Source::Listener(listener) => {
                listener.set_nonblocking(true)?;
                listener.as_fd()
            }
            Source::Stream(stream) => {
                stream.stream.set_nonblocking(true)?;
                stream.stream.as_fd()
            }
            Source::Datagrams(socket) => {
                socket.set_nonblocking(true)?;
                socket.as_fd()
            }
            Source::Packets(socket) => socket.as_fd(),
            Source::Unix(listener) => {
                listener.set_nonblocking(true)?;
                listener.as_fd()
            }
            Source::UnixStream(stream) => {
                stream.set_nonblocking(true)?;
                stream.as_fd()
            }
            Source::Stop => return Ok(()),
        };
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(self.next), epoll::EventFlags::IN)?;
        self.sources.insert(self.next, source);
        self.next += 1;
        Ok(())
    }
}

fn serve(mut watched: Watched, voice: &Voice) {
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 65_536];
    loop {
        events.clear();
        match epoll::wait(&watched.epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        for event in &events {
            let number = event.data.u64();
            let mut arrived = Vec::new();
            let goes_on = match watched.sources.get_mut(&number) {
                None => continue,
                Some(Source::Stop) => return,
                Some(source) => voice.read(source, &mut buffer, &mut arrived),
            };
            if !goes_on {
                // Closing it takes it out of the set.
                watched.sources.remove(&number);
            }
            for source in arrived {
                // A connection that cannot be watched is closed, as if it had been reset.
                let _ = watched.add(source);
            }
        }
    }
}

impl Voice {
    /// Reads what there is, and answers. Returns whether more may come.
    fn read(&self, source: &mut Source, buffer: &mut [u8], arrived: &mut Vec<Source>) -> bool {
        match source {
            Source::Listener(listener) => {
                while let Ok((stream, _)) = listener.accept() {
                    if let Ok(local) = stream.local_addr() {
                        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
                        arrived.push(Source::Stream(Stream {
                            stream,
                            local,
                            bytes: vec![],
                            answered: false,
                        }));
                    }
                }
            }
            Source::Unix(listener) => {
                while let Ok((stream, _)) = listener.accept() {
                    arrived.push(Source::UnixStream(stream));
                }
            }
            Source::Datagrams(socket) => self.datagrams(socket, buffer),
            Source::Packets(socket) => {
                while let Ok((length, _)) = recv(&*socket, &mut *buffer, RecvFlags::empty()) {
                    self.heard.look(self.place, &buffer[..length]);
                }
            }
            Source::Stream(stream) => return self.stream(stream, buffer),
            Source::UnixStream(stream) => {
                let Ok(length @ 1..) = stream.read(buffer) else { return false };
                self.whole(&buffer[..length]);
                return stream.write_all((self.token)(IpAddr::V4(Ipv4Addr::LOCALHOST)).as_bytes()).is_ok();
            }
            Source::Stop => {}
        }
        true
    }

    /// What ended where it ends.
    fn whole(&self, bytes: &[u8]) {
        self.heard.look(self.place, &[bytes, b"\n"].concat());
    }

    fn datagrams(&self, socket: &UdpSocket, buffer: &mut [u8]) {
        let Ok(local) = socket.local_addr() else { return };
        while let Ok((length, from)) = socket.recv_from(buffer) {
            self.whole(&buffer[..length]);
            let answer = match local.port() {
                53 => self.names.lock().unwrap_or_else(PoisonError::into_inner).answer(&buffer[..length]),
                _ => Some((self.token)(local.ip()).as_bytes().to_vec()),
            };
            // Whoever asked may be gone.
            let _ = answer.map(|answer| socket.send_to(&answer, from));
        }
    }

    fn stream(&self, held: &mut Stream, buffer: &mut [u8]) -> bool {
        loop {
            match held.stream.read(buffer) {
                Ok(0) => {
                    self.whole(&held.bytes);
                    return false;
                }
                Ok(length) => held.bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.whole(&held.bytes);
                    return false;
                }
            }
            self.heard.look(self.place, &held.bytes);
            let answer = self.reply(held);
            // Small, so that it fits into any buffer.
            if !answer.is_empty() && held.stream.write_all(&answer).is_err() {
                return false;
            }
            if held.bytes.len() > KEEP_BYTES {
                held.bytes.drain(..held.bytes.len() - TAIL_BYTES);
            }
        }
        true
    }

    /// What is answered to what was said so far; what was answered is forgotten.
    fn reply(&self, held: &mut Stream) -> Vec<u8> {
        let token = (self.token)(held.local.ip());
        let mut answer = Vec::new();
        match held.local.port() {
            80 => {
                while let Some(at) = held.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    answer.extend(answers::http(&held.bytes[..at], token));
                    held.bytes.drain(..at + 4);
                }
            }
            53 => {
                while let [high, low, rest @ ..] = held.bytes.as_slice() {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let Some(message) = rest.get(..length) else { break };
                    let said = self.names.lock().unwrap_or_else(PoisonError::into_inner).answer(message);
                    if let Some(said) = said {
                        answer.extend((said.len() as u16).to_be_bytes());
                        answer.extend(said);
                    }
                    held.bytes.drain(..length + 2);
                }
            }
            _ => {
                if !held.answered {
                    held.answered = true;
                    answer.extend(token.as_bytes());
                }
                let tail = held.bytes.len().saturating_sub(TAIL_BYTES);
                held.bytes.drain(..tail);
            }
        }
        answer
    }
}
