//! The console against real sockets, pipes and pseudo-terminals, with the test as PID 1.

mod exec;
mod hostile;
mod pipes;
mod terminal;

use super::Wiring;
use super::server::Server;
use agentbox_plan::console::{Client, Frame, FromConsole, Hello, ToConsole};
use agentbox_plan::inner::{FromInner, ToInner};
use agentbox_plan::report::Report;
use agentbox_plan::{Exit, Streams, TerminalSize, Wire};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::net::{SocketFlags, SocketType, recv, sendmsg, socketpair, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Far above what anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };
const DONE: Exit = Exit::Code { status: 0 };

/// A console in a thread, and everything it is connected to.
struct Rig {
    address: SocketAddr,
    inner: Option<OwnedFd>,
    report: OwnedFd,
    /// PID 1 lives while this is open.
    life: Option<OwnedFd>,
    thread: JoinHandle<Exit>,
    thread_id: i32,
    /// The console begins when this is said.
    begin: mpsc::Sender<()>,
}

fn packets() -> (OwnedFd, OwnedFd) {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    for end in [&pair.0, &pair.1] {
        sockopt::set_socket_timeout(end, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
    }
    pair
}

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

impl Rig {
    fn new(streams: Streams) -> Self {
        Self::for_peer(streams, rustix::process::getuid().as_raw())
    }

    fn for_peer(streams: Streams, uid: u32) -> Self {
        let rig = Self::before(streams, uid);
        rig.begin.send(()).unwrap();
        rig
    }

    /// One whose console has not begun.
    fn before(streams: Streams, uid: u32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("agentbox-console-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let ((inner, inner_far), (report, report_far), (init, life)) = (packets(), packets(), pipe());
        let wiring = Wiring {
            listener: listener.into(),
            inner: inner_far,
            report: report_far,
            init,
            init_pid: 77,
            session: "k7".parse().unwrap(),
            label: "L2".to_owned(),
            streams,
            size: SIZE,
        };
        let (sender, receiver) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            sender.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            begun.recv().unwrap();
            Server::new(wiring, uid).run()
        });
        let thread_id = receiver.recv().unwrap();
        Self { address, inner: Some(inner), report, life: Some(life), thread, thread_id, begin }
    }

    fn connect(&self) -> Peer {
        let socket = UnixStream::connect_addr(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { socket, received: Vec::new() }
    }

    fn hello(&self, hello: Hello) -> Peer {
        let mut peer = self.connect();
        peer.say(ToConsole::Hello(hello));
        peer
    }

    fn attach(&self, streams: Streams) -> Peer {
        self.hello(Hello::Attach { client: Client { streams, size: SIZE } })
    }

    /// Says something as PID 1.
    fn say(&self, message: &FromInner, descriptors: &[&OwnedFd]) {
        self.send_packet(&message.to_bytes(), descriptors);
    }

    fn send_packet(&self, bytes: &[u8], descriptors: &[&OwnedFd]) {
        let borrowed: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
        }
        let inner = self.inner.as_ref().unwrap();
        let _ = sendmsg(inner, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    }

    /// What the console says to PID 1 next.
    fn heard(&self) -> ToInner {
        let mut buffer = vec![0; 256 * 1024];
        let (count, _) = recv(self.inner.as_ref().unwrap(), &mut buffer[..], RecvFlags::empty()).unwrap();
        ToInner::from_bytes(&buffer[..count]).unwrap()
    }

    /// Starts process `number` with the far ends of three pipes, and returns the near ones.
    fn start_pipes(&self, number: u32) -> Pipes {
        let (input, output, error) = (pipe(), pipe(), pipe());
        let far = [&pidfd(), &input.1, &output.0, &error.0];
        self.say(&FromInner::Started { number, pid: 2 }, &far);
        Pipes { input: input.0.into(), output: output.1.into(), error: error.1.into() }
    }

    /// Starts process `number` on a terminal, and returns its side of it, in raw mode.
    fn start_terminal(&self, number: u32) -> std::fs::File {
        let (master, slave) = terminal();
        let mut mode = rustix::termios::tcgetattr(&slave).unwrap();
        mode.make_raw();
        rustix::termios::tcsetattr(&slave, rustix::termios::OptionalActions::Now, &mode).unwrap();
        self.say(&FromInner::Started { number, pid: 2 }, &[&pidfd(), &master]);
        slave.into()
    }

    fn end(&self, number: u32, exit: Exit) {
        self.say(&FromInner::Ended { number, exit }, &[]);
    }

    fn reported(&self) -> Report {
        let mut buffer = [0; 8192];
        let (count, _) = recv(&self.report, &mut buffer[..], RecvFlags::empty()).unwrap();
        Report::from_bytes(&buffer[..count]).unwrap()
    }

    /// Ends PID 1, and waits for the console to return.
    fn finish(mut self) -> Exit {
        self.inner = None;
        self.life = None;
        self.thread.join().unwrap()
    }

    /// Time on a processor that the console has used, in nanoseconds.
    fn used(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.thread_id)).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Whether the console sleeps when there is nothing to do. A loop that spins uses all of the time.
    fn assert_sleeps(&self) {
        std::thread::sleep(Duration::from_millis(100));
        let before = self.used();
        std::thread::sleep(Duration::from_millis(400));
        assert!(self.used() - before < 100_000_000, "the loop spins");
    }
}

fn pidfd() -> OwnedFd {
    rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).unwrap()
}

/// Master and slave of a new pseudo-terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    (master, slave)
}

/// A process's own ends of its pipes.
struct Pipes {
    input: std::fs::File,
    output: std::fs::File,
    error: std::fs::File,
}

/// A client's end of a connection.
struct Peer {
    socket: UnixStream,
    received: Vec<u8>,
}

impl Peer {
    fn say(&mut self, message: ToConsole) {
        // The console may have closed the connection; then the test sees it when it reads.
        let _ = self.socket.write_all(&message.to_frame().encode());
    }

    /// The next message, or `None` at the end of the connection.
    fn next(&mut self) -> Option<FromConsole> {
        let mut chunk = [0; 65536];
        loop {
            if let Some(frame) = Frame::take(&mut self.received).unwrap() {
                return Some(FromConsole::from_frame(frame).unwrap());
            }
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                // What the console did not read any more is lost with the connection.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the console says nothing: {error}"),
            }
        }
    }

    /// Output up to and with `end`.
    fn output_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        while !output.ends_with(end) {
            match self.next() {
                Some(FromConsole::Output(bytes)) => output.extend(bytes),
                other => panic!("{other:?} after {}", output.escape_ascii()),
            }
        }
        output
    }

    /// All output, all errors, and the last message.
    fn rest(&mut self) -> (Vec<u8>, Vec<u8>, Option<FromConsole>) {
        let (mut output, mut error) = (Vec::new(), Vec::new());
        loop {
            match self.next() {
                Some(FromConsole::Output(bytes)) => output.extend(bytes),
                Some(FromConsole::Error(bytes)) => error.extend(bytes),
                last => return (output, error, last),
            }
        }
    }
}
