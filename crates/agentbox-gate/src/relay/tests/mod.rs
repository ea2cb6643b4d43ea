//! The relay between real sockets, with a supervisor that connects where the test says.

mod http;
mod limits;
mod properties;
mod streams;
mod tls;

use super::*;
use crate::runtime::{block_on, sleep, timeout};
use agentbox_plan::Wire as _;
use agentbox_plan::gate::{Answer, Request, Sent};
use agentbox_plan::net::{Destination, HostName, Mode, Rule, Rules, Verdict};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{IoSlice, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a name or an address leads to.
pub(crate) type Places = HashMap<IpAddr, SocketAddr>;

/// A decision as it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) to: String,
    pub(crate) port: u16,
    pub(crate) reason: Option<Reason>,
    pub(crate) other: Option<String>,
}

/// What the supervisor was told and asked.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) decided: Vec<Decided>,
    pub(crate) used: Vec<Sent>,
    pub(crate) dialled: Vec<IpAddr>,
    /// Rules that come while the next connection is made.
    pub(crate) before_socket: Option<Rules>,
}

/// Names by synthetic address and addresses by name.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    pub(crate) stands_for: HashMap<IpAddr, Destination>,
    pub(crate) addresses: HashMap<HostName, Result<Rc<[IpAddr]>, Reason>>,
    /// Nobody says what is behind addresses of IPv6.
    pub(crate) is_silent: bool,
    /// One more for each connection to what stands for something.
    pub(crate) held: Rc<()>,
    /// How often a name was looked up.
    pub(crate) asked: Rc<Cell<u32>>,
}

impl Directory for Names {
    type Hold = Option<Rc<()>>;
    fn destination_of(&self, address: IpAddr) -> Option<Destination> {
        self.stands_for.get(&address).cloned()
    }
    fn hold(&self, address: IpAddr) -> Self::Hold {
        self.stands_for.contains_key(&address).then(|| Rc::clone(&self.held))
    }
    async fn addresses(&self, name: &HostName) -> Result<Rc<[IpAddr]>, Reason> {
        self.asked.set(self.asked.get() + 1);
        self.addresses.get(name).cloned().unwrap_or(Err(Reason::NotFound))
    }
    async fn translation(&self) -> Result<(), Reason> {
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A supervisor, the link to it, and what they share.
pub(crate) struct Rig {
    pub(crate) link: Link,
    pub(crate) seen: Rc<RefCell<Seen>>,
    pub(crate) connection: Rc<Fd<OwnedFd>>,
    pub(crate) limits: GateLimits,
    pub(crate) names: Names,
    pub(crate) patience: Patience,
    pub(super) heard: Heard,
    pub(crate) pipes: Rc<Pipes>,
    _directory: tempfile::TempDir,
}

pub(crate) fn rule(verdict: Verdict, target: &str) -> Rule {
    Rule { verdict, target: target.parse().unwrap(), internal: false, origin: "test: allow".into() }
}

pub(crate) fn allow(targets: &[&str]) -> Rules {
    Rules {
        mode: Mode::Allowlist,
        rules: targets.iter().map(|target| rule(Verdict::Allow, target)).collect(),
    }
}

pub(crate) fn public_address() -> IpAddr {
    [9, 9, 9, 9].into()
}

impl Rig {
    /// A supervisor that connects each address to a place, and refuses those without one.
    pub(crate) async fn new(rules: Rules, places: Places) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = rustix::net::SocketAddrUnix::new(directory.path().join("gate")).unwrap();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 9).unwrap();
        let link = Link::serve(listener, rules).unwrap();
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        let connection = Rc::new(Fd::new(socket).unwrap());
        let seen = Rc::new(RefCell::new(Seen::default()));
        assert_eq!(receive(&connection).await, Some(Request::Ready));
        let (own, log) = (Rc::clone(&connection), Rc::clone(&seen));
        spawn(async move {
            while let Some(request) = receive(&own).await {
                answer(&own, &log, &places, request);
            }
        });
        Self {
            link,
            seen,
            connection,
            limits: GateLimits { upload_max: None, name_upload_max: None, connections: 64, names: 64 },
            names: Names::default(),
            patience: Patience::default(),
            heard: Heard::default(),
            pipes: Rc::new(Pipes::new()),
            _directory: directory,
        }
    }

    /// `name` has a synthetic address and these addresses.
    pub(crate) fn name(&mut self, synthetic: &str, name: &str, addresses: Result<Vec<IpAddr>, Reason>) {
        let name: HostName = name.parse().unwrap();
        self.names.stands_for.insert(synthetic.parse().unwrap(), Destination::Name { name: name.clone() });
        self.names.addresses.insert(name, addresses.map(Into::into));
    }

    /// Relays; gives the address at which connections behave as if they were made to each of `originals`.
    pub(crate) fn serve<const N: usize>(&self, originals: [&str; N]) -> [SocketAddr; N] {
        let shared = Shared {
            session: "abc".parse().unwrap(),
            link: self.link.clone(),
            directory: self.names.clone(),
            flows: Flows::new(self.link.clone(), Rc::new(RefCell::new(Budget::new(&self.limits, &[], 0)))),
            pipes: Rc::clone(&self.pipes),
            places: super::Places::new(&self.limits, u64::MAX),
            patience: self.patience,
            heard: self.heard.clone(),
        };
        let relay = Relay(Rc::new(shared));
        originals.map(|original| {
            let original: SocketAddr = original.parse().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            relay.serve_as(listener.into(), move |_| Ok(original)).unwrap();
            address
        })
    }

    /// Other rules come from the supervisor.
    pub(crate) fn change(&self, rules: Rules) {
        let bytes = Answer::Rules { rules }.to_bytes();
        rustix::net::send(self.connection.get(), &bytes, rustix::net::SendFlags::empty()).unwrap();
    }

    /// What was decided, when nothing more is decided for a moment.
    pub(crate) async fn decided(&self) -> Vec<(String, Option<Reason>)> {
        sleep(Duration::from_millis(30)).await;
        self.seen.borrow().decided.iter().map(|this| (this.to.clone(), this.reason)).collect()
    }
}

async fn receive(connection: &Fd<OwnedFd>) -> Option<Request> {
    let mut bytes = [0; 2048];
    let received = connection
        .read_with(|fd| Ok(rustix::net::recv(fd, &mut bytes[..], rustix::net::RecvFlags::empty())?));
    let (count, _) = received.await.ok()?;
    Request::from_bytes(&bytes[..count]).ok()
}

fn answer(connection: &Fd<OwnedFd>, log: &RefCell<Seen>, places: &Places, request: Request) {
    let mut seen = log.borrow_mut();
    let (number, place) = match request {
        Request::Dial { number, address, .. } => {
            seen.dialled.push(address);
            if let Some(rules) = seen.before_socket.take() {
                give(connection, &Answer::Rules { rules }, None);
            }
            (number, places.get(&address).copied())
        }
        Request::DialInside { number, port } => (number, Some(SocketAddr::from(([127, 0, 0, 1], port)))),
        Request::Decided { destination, port, reason, other, .. } => {
            let to = match destination {
                Destination::Name { name } => name.to_string(),
                Destination::Address { address } => address.to_string(),
                Destination::HostLoopback => "host".into(),
            };
            let other = other.map(|name| name.to_string());
            return seen.decided.push(Decided { to, port, reason, other });
        }
        Request::Used { sent } => return seen.used.push(sent),
        _ => return,
    };
    let Some(place) = place else {
        return give(connection, &Answer::Refused { number, reason: Reason::OnLink }, None);
    };
    let family = if place.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
    match rustix::net::connect(&socket, &place) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {
            give(connection, &Answer::Socket { number }, Some(&socket));
        }
        Err(_) => give(connection, &Answer::Refused { number, reason: Reason::Unreachable }, None),
    }
}

fn give(connection: &Fd<OwnedFd>, answer: &Answer, socket: Option<&OwnedFd>) {
    let fds = socket.map(|socket| [socket.as_fd()]);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    if let Some(fds) = &fds {
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(fds)));
    }
    let bytes = answer.to_bytes();
    let flags = rustix::net::SendFlags::empty();
    rustix::net::sendmsg(connection.get(), &[IoSlice::new(&bytes)], &mut control, flags).unwrap();
}

/// Runs a test with a time limit.
pub(crate) fn run(test: impl Future<Output = ()> + 'static) {
    let within = async { timeout(Duration::from_secs(30), test).await };
    block_on(within).unwrap().expect("the test ends in time");
}

/// What a thread does, while the relay goes on.
pub(crate) async fn done<T>(thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

pub(crate) fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(work)
}

/// A connection that does not wait for ever.
pub(crate) fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends some bytes and reads to the end.
pub(crate) fn say(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = client(address);
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| answer)
}

/// A listener, and its address as the place of the public address.
pub(crate) fn server() -> (TcpListener, Places) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = HashMap::from([(public_address(), listener.local_addr().unwrap())]);
    (listener, places)
}

pub(crate) fn is_reset<T: std::fmt::Debug>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

/// A reset, or what who writes hears of it.
pub(crate) fn is_over<T: std::fmt::Debug>(result: &io::Result<T>) -> bool {
    is_reset(result) || matches!(result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

pub(crate) fn since(begun: Instant, from: u64, to: u64) -> bool {
    let range = Duration::from_millis(from)..Duration::from_millis(to);
    range.contains(&begun.elapsed())
}
