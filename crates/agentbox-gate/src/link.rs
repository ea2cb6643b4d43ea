//! The conversation with the supervisor: requests for sockets, decisions for the trail, new rules.
//!
//! The supervisor connects; when it goes away, what waits for an answer is refused, and so is every new
//! request, until the next supervisor connects. Connections that are there go on.

use crate::relay::socket::accept;
use crate::runtime::{Event, Fd, Task, spawn, timeout};
use agentbox_plan::Wire as _;
use agentbox_plan::gate::{Answer, MAX_ANSWER_BYTES, MAX_TRANSLATORS, Request, Sent, Transport};
use agentbox_plan::net::{Destination, HostName, Reason, Rules, Translator, Translators};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// A supervisor answers in microseconds; one that is stuck is as good as none.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Messages that wait for a supervisor that is slow to read. What comes on top of them is lost, and nothing
/// is reached meanwhile: a request for a socket stands behind them.
const QUEUE: usize = 16_384;

type Place = Rc<Waiting>;

#[derive(Debug, Default)]
struct Waiting {
    answer: RefCell<Option<Result<OwnedFd, Reason>>>,
    answered: Event,
}

impl Waiting {
    fn answer(&self, answer: Result<OwnedFd, Reason>) {
        self.answer.replace(Some(answer));
        self.answered.notify();
    }
}

#[derive(Debug)]
struct Shared {
    rules: RefCell<Rc<Rules>>,
    translators: RefCell<Rc<Translators>>,
    /// Rules or translators are others.
    changed: Event,
    /// Which network it is that the machine is in, counted.
    network: Cell<u64>,
    other_network: Event,
    is_connected: Cell<bool>,
    next: Cell<u32>,
    waiting: RefCell<HashMap<u32, Place>>,
    queue: RefCell<VecDeque<Vec<u8>>>,
    queued: Event,
}

/// A handle to the conversation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Link(Rc<Shared>);

/// Forgets a request that nobody waits for any more.
struct Asked<'a> {
    link: &'a Link,
    number: u32,
    place: Place,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.link.0.waiting.borrow_mut().remove(&self.number);
    }
}

impl Link {
    /// Serves the supervisors that connect to `listener`, one after the other; the newest one counts.
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub fn serve(listener: OwnedFd, rules: Rules) -> io::Result<Self> {
        let link = Self(Rc::new(Shared {
            rules: RefCell::new(Rc::new(rules)),
            translators: RefCell::default(),
            changed: Event::new(),
            network: Cell::new(0),
            other_network: Event::new(),
            is_connected: Cell::new(false),
            next: Cell::new(0),
            waiting: RefCell::default(),
            queue: RefCell::default(),
            queued: Event::new(),
        }));
        let (listener, own) = (Fd::new(listener)?, link.clone());
        spawn(async move {
            let mut before: Option<Task> = None;
            loop {
                let Ok(connection) = Fd::new(accept(&listener).await) else { continue };
                if let Some(before) = before.take() {
                    before.cancel();
                    own.disconnected();
                }
                let own = own.clone();
                before = Some(spawn(async move { own.converse(Rc::new(connection)).await }));
            }
        });
        Ok(link)
    }

    async fn converse(&self, connection: Rc<Fd<OwnedFd>>) {
        self.greet();
        let (own, writing) = (self.clone(), Rc::clone(&connection));
        let writer = CancelOnDrop(spawn(async move {
            // Without a reader the other task learns of the end.
            let _ = own.write(&writing).await;
        }));
        let _ = self.read(&connection).await;
        drop(writer);
        self.disconnected();
    }

    /// What stands before all that waits: the supervisor may be new.
    fn greet(&self) {
        let mut queue = self.0.queue.borrow_mut();
        for some in self.translators().known().chunks(MAX_TRANSLATORS) {
            queue.push_front(Request::Translates { translators: some.to_vec() }.to_bytes());
        }
        queue.push_front(Request::Ready.to_bytes());
        self.0.is_connected.set(true);
    }

    fn disconnected(&self) {
        self.0.is_connected.set(false);
        // Decisions wait for the next supervisor; requests do not.
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        for place in waiting.into_values() {
            place.answer(Err(Reason::SupervisorAway));
        }
    }

    async fn write(&self, connection: &Fd<OwnedFd>) -> io::Result<()> {
        loop {
            let queued = self.0.queued.wait();
            let message = self.0.queue.borrow().front().cloned();
            let Some(message) = message else {
                queued.await;
                continue;
            };
            connection.write_with(|fd| Ok(rustix::net::send(fd, &message, SendFlags::NOSIGNAL)?)).await?;
            self.0.queue.borrow_mut().pop_front();
        }
    }

    async fn read(&self, connection: &Fd<OwnedFd>) -> io::Result<()> {
        let mut bytes = vec![0; MAX_ANSWER_BYTES];
        loop {
            let (count, socket) = connection.read_with(|fd| receive(fd, &mut bytes)).await?;
            if count == 0 {
                return Ok(());
            }
            let Ok(answer) = Answer::from_bytes(&bytes[..count]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            self.answered(answer, socket);
        }
    }

    fn answered(&self, answer: Answer, socket: Option<OwnedFd>) {
        let (number, answer) = match answer {
            // There was no descriptor free for it.
            Answer::Socket { number } => (number, socket.ok_or(Reason::TooMany)),
            Answer::Refused { number, reason } => (number, Err(reason)),
            Answer::Rules { rules } => {
                self.0.rules.replace(Rc::new(rules));
                self.0.changed.notify();
                return;
            }
            Answer::OtherNetwork => {
                self.0.network.set(self.0.network.get() + 1);
                self.0.other_network.notify();
                return;
            }
        };
        // Nobody waits any more: the socket is closed again.
        let place = self.0.waiting.borrow_mut().remove(&number);
        if let Some(place) = place {
            place.answer(answer);
        }
    }

    fn send(&self, request: &Request) {
        let mut queue = self.0.queue.borrow_mut();
        if queue.len() < QUEUE {
            queue.push_back(request.to_bytes());
            drop(queue);
            self.0.queued.notify();
        }
    }

    async fn ask(&self, request: impl FnOnce(u32) -> Request) -> Result<OwnedFd, Reason> {
        if !self.0.is_connected.get() {
            return Err(Reason::SupervisorAway);
        }
        if self.0.queue.borrow().len() >= QUEUE {
            return Err(Reason::TooMany);
        }
        let number = self.0.next.get();
        self.0.next.set(number.wrapping_add(1));
        let place = Place::default();
        self.0.waiting.borrow_mut().insert(number, Rc::clone(&place));
        let asked = Asked { link: self, number, place };
        let answered = asked.place.answered.wait();
        self.send(&request(number));
        match timeout(ANSWER_LIMIT, answered).await {
            Ok(()) => asked.place.answer.take().unwrap_or(Err(Reason::SupervisorAway)),
            Err(_elapsed) => Err(Reason::SupervisorAway),
        }
    }

    /// A socket that is being connected to an address of a destination.
    ///
    /// # Errors
    /// Why the supervisor refused.
    pub async fn dial(
        &self,
        destination: Destination,
        address: IpAddr,
        port: u16,
    ) -> Result<OwnedFd, Reason> {
        self.ask(|number| Request::Dial { number, destination, address, port }).await
    }

    /// A socket to an upstream resolver, for one question.
    ///
    /// # Errors
    /// [`Reason::Unresolved`] when there are fewer resolvers; other reasons when there is no socket.
    pub async fn resolver(&self, which: u8, transport: Transport) -> Result<OwnedFd, Reason> {
        self.ask(|number| Request::Resolver { number, which, transport }).await
    }

    /// A socket that is being connected to a published port inside.
    ///
    /// # Errors
    /// Why the supervisor refused.
    pub async fn dial_inside(&self, port: u16) -> Result<OwnedFd, Reason> {
        self.ask(|number| Request::DialInside { number, port }).await
    }

    /// Reports a decision for the audit trail.
    pub fn decided(
        &self,
        destination: Destination,
        port: u16,
        reason: Option<Reason>,
        rule: Option<u32>,
        other: Option<HostName>,
    ) {
        self.send(&Request::Decided { destination, port, reason, rule, other });
    }

    /// Reports what was sent since the last report.
    pub fn used(&self, sent: Sent) {
        self.send(&Request::Used { sent });
    }

    /// The rules of now.
    #[must_use]
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.0.rules.borrow())
    }

    /// Waits for other rules, or for translators that nobody knew.
    pub fn rules_changed(&self) -> impl Future<Output = ()> + '_ {
        self.0.changed.wait()
    }

    /// The translators of the networks so far.
    #[must_use]
    pub fn translators(&self) -> Rc<Translators> {
        Rc::clone(&self.0.translators.borrow())
    }

    /// These were heard of. What was connected through one that nobody knew is judged again, here and by the supervisor.
    pub fn translates(&self, heard: impl IntoIterator<Item = Translator>) {
        let mut translators = self.0.translators.borrow_mut();
        let all = Rc::make_mut(&mut translators);
        let new: Vec<_> = heard.into_iter().filter(|translator| all.add(*translator)).collect();
        drop(translators);
        for some in new.chunks(MAX_TRANSLATORS) {
            self.send(&Request::Translates { translators: some.to_vec() });
        }
        if !new.is_empty() {
            self.0.changed.notify();
        }
    }

    /// Which network it is that the machine is in, counted.
    #[must_use]
    pub fn network(&self) -> u64 {
        self.0.network.get()
    }

    /// Waits for another network.
    pub fn other_network(&self) -> impl Future<Output = ()> + '_ {
        self.0.other_network.wait()
    }
}

struct CancelOnDrop(Task);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A message and the socket that came with it.
pub(crate) fn receive(fd: &OwnedFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(bytes)];
    let received = rustix::net::recvmsg(fd, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            socket = socket.or(descriptors.last());
        }
    }
    // There was no room, or no descriptor free, for all that came with it: that is about this one message.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        socket = None;
    }
    Ok((received.bytes, socket))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::runtime::{block_on, sleep};
    use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SocketType, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    const HOST: Destination = Destination::HostLoopback;

    struct Supervisor {
        directory: tempfile::TempDir,
    }

    impl Supervisor {
        fn new() -> (Self, OwnedFd) {
            let directory = tempfile::tempdir().unwrap();
            let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            rustix::net::bind(&listener, &Self::address(&directory)).unwrap();
            rustix::net::listen(&listener, 9).unwrap();
            (Self { directory }, listener)
        }

        fn address(directory: &tempfile::TempDir) -> rustix::net::SocketAddrUnix {
            rustix::net::SocketAddrUnix::new(directory.path().join("gate")).unwrap()
        }

        fn connect(&self) -> Fd<OwnedFd> {
            let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            rustix::net::connect(&socket, &Self::address(&self.directory)).unwrap();
            Fd::new(socket).unwrap()
        }
    }

    async fn next(connection: &Fd<OwnedFd>) -> Request {
        let mut bytes = [0; 2048];
        let received =
            connection.read_with(|fd| Ok(rustix::net::recv(fd, &mut bytes[..], RecvFlags::empty())?));
        let (count, _) = received.await.unwrap();
        Request::from_bytes(&bytes[..count]).unwrap()
    }

    /// Says something as the supervisor does.
    pub(crate) fn give(
        connection: &Fd<OwnedFd>,
        answer: &impl agentbox_plan::Wire,
        socket: Option<&OwnedFd>,
    ) {
        let fds = socket.map(|socket| [socket.as_fd()]);
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &fds {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let bytes = answer.to_bytes();
        sendmsg(connection.get(), &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn what_waits_for_a_supervisor_has_an_end() {
        block_on(async {
            let (_supervisor, listener) = Supervisor::new();
            let link = Link::serve(listener, Rules::nothing()).unwrap();
            for _ in 0..QUEUE + 9 {
                link.decided(HOST, 1, None, None, None);
            }
            assert_eq!(link.0.queue.borrow().len(), QUEUE);
            // As if one were there that reads nothing.
            link.0.is_connected.set(true);
            assert!(matches!(link.dial_inside(1).await, Err(Reason::TooMany)));
        })
        .unwrap();
    }

    #[test]
    fn a_socket_comes_to_who_asked_for_it() {
        block_on(async {
            let (supervisor, listener) = Supervisor::new();
            let link = Link::serve(listener, Rules::nothing()).unwrap();
            assert!(matches!(link.dial_inside(1).await, Err(Reason::SupervisorAway)));
            let connection = supervisor.connect();
            assert_eq!(next(&connection).await, Request::Ready);
            let results = Rc::new(RefCell::new(Vec::new()));
            for port in [1, 2] {
                let (link, results) = (link.clone(), Rc::clone(&results));
                spawn(async move {
                    let result = link.dial_inside(port).await.map(drop);
                    results.borrow_mut().push((port, result));
                });
            }
            assert_eq!(next(&connection).await, Request::DialInside { number: 0, port: 1 });
            assert_eq!(next(&connection).await, Request::DialInside { number: 1, port: 2 });
            let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            give(&connection, &Answer::Socket { number: 1 }, Some(&one.into()));
            give(&connection, &Answer::Socket { number: 77 }, None);
            give(&connection, &Answer::Refused { number: 0, reason: Reason::Denied }, None);
            sleep(Duration::from_millis(20)).await;
            assert_eq!(*results.borrow(), [(2, Ok(())), (1, Err(Reason::Denied))]);
        })
        .unwrap();
    }

    #[test]
    fn a_socket_that_there_is_no_descriptor_for_is_refused_and_the_next_one_comes() {
        block_on(async {
            let (supervisor, listener) = Supervisor::new();
            let link = Link::serve(listener, Rules::nothing()).unwrap();
            let connection = Rc::new(supervisor.connect());
            assert_eq!(next(&connection).await, Request::Ready);
            let own = Rc::clone(&connection);
            spawn(async move {
                let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
                let one = OwnedFd::from(one);
                next(&own).await;
                // More than there is room for are cut off as those are for which no number is free.
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(9))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let many = [one.as_fd(); 9];
                assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
                let bytes = Answer::Socket { number: 0 }.to_bytes();
                sendmsg(own.get(), &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
                next(&own).await;
                give(&own, &Answer::Socket { number: 1 }, Some(&one));
            });
            assert_eq!(link.dial_inside(1).await.map(drop), Err(Reason::TooMany));
            assert_eq!(link.dial_inside(2).await.map(drop), Ok(()));
        })
        .unwrap();
    }

    #[test]
    fn without_a_supervisor_everything_is_refused_until_the_next_one_comes() {
        block_on(async {
            let (supervisor, listener) = Supervisor::new();
            let link = Link::serve(listener, Rules::nothing()).unwrap();
            let first = supervisor.connect();
            assert_eq!(next(&first).await, Request::Ready);
            let asked = link.clone();
            let result = Rc::new(RefCell::new(None));
            let place = Rc::clone(&result);
            spawn(async move {
                let answer = asked.dial_inside(1).await.map(drop);
                place.replace(Some(answer));
            });
            next(&first).await;
            drop(first);
            sleep(Duration::from_millis(20)).await;
            assert_eq!(result.take(), Some(Err(Reason::SupervisorAway)));
            link.decided(HOST, 7, None, None, None);
            let second = supervisor.connect();
            assert_eq!(next(&second).await, Request::Ready);
            // What was decided meanwhile is not lost.
            assert!(matches!(next(&second).await, Request::Decided { port: 7, .. }));
            give(
                &second,
                &Answer::Rules {
                    rules: Rules { mode: agentbox_plan::net::Mode::Public, ..Rules::nothing() },
                },
                None,
            );
            link.rules_changed().await;
            assert_eq!(link.rules().mode, agentbox_plan::net::Mode::Public);
        })
        .unwrap();
    }
}
