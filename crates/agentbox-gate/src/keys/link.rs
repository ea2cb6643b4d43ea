//! The conversation with the supervisor: requests for connections and signatures, refusals for the trail.
//!
//! The supervisor connects; while none does, nothing is signed and nobody is connected.

use crate::link::receive;
use crate::relay::socket::accept;
use crate::runtime::{Event, Fd, Task, spawn, timeout};
use agentbox_plan::Wire as _;
use agentbox_plan::keys::{Fingerprint, KeyReason, KeysAnswer, KeysRequest, MAX_MESSAGE_BYTES, Purpose};
use rustix::net::SendFlags;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// The person has a minute to confirm; the supervisor says so when it is over, and this only holds when it
/// does not.
const ANSWER_LIMIT: Duration = Duration::from_secs(75);
/// Messages that wait for a supervisor that is slow to read. Refusals on top of them are lost.
const QUEUE: usize = 1024;

type Answered = Result<Option<OwnedFd>, KeyReason>;

#[derive(Debug, Default)]
struct Waiting {
    answer: RefCell<Option<Answered>>,
    answered: Event,
}

#[derive(Debug, Default)]
struct Shared {
    is_connected: Cell<bool>,
    next: Cell<u32>,
    waiting: RefCell<HashMap<u32, Rc<Waiting>>>,
    queue: RefCell<VecDeque<Vec<u8>>>,
    queued: Event,
}

/// A handle to the conversation; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Link(Rc<Shared>);

/// Forgets a request that nobody waits for any more.
struct Asked<'a>(&'a Link, u32);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.0.waiting.borrow_mut().remove(&self.1);
    }
}

struct CancelOnDrop(Task);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Link {
    /// Serves the supervisors that connect, one after the other; the newest one counts.
    pub(super) fn serve(listener: OwnedFd) -> io::Result<Self> {
        let link = Self(Rc::new(Shared::default()));
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
        self.0.queue.borrow_mut().push_front(KeysRequest::Ready.to_bytes());
        self.0.is_connected.set(true);
        let (own, writing) = (self.clone(), Rc::clone(&connection));
        let writer = CancelOnDrop(spawn(async move {
            // Without a reader the other task learns of the end.
            let _ = own.write(&writing).await;
        }));
        let _ = self.read(&connection).await;
        drop(writer);
        self.disconnected();
    }

    fn disconnected(&self) {
        self.0.is_connected.set(false);
        for place in std::mem::take(&mut *self.0.waiting.borrow_mut()).into_values() {
            place.answer.replace(Some(Err(KeyReason::SupervisorAway)));
            place.answered.notify();
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
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        loop {
            let (count, socket) = connection.read_with(|fd| receive(fd, &mut bytes)).await?;
            if count == 0 {
                return Ok(());
            }
            let Ok(answer) = KeysAnswer::from_bytes(&bytes[..count]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let (number, answer) = match answer {
                KeysAnswer::Socket { number } => (number, socket.map(Some).ok_or(KeyReason::AgentAway)),
                KeysAnswer::Granted { number } => (number, Ok(None)),
                KeysAnswer::Refused { number, reason } => (number, Err(reason)),
            };
            let place = self.0.waiting.borrow_mut().remove(&number);
            if let Some(place) = place {
                place.answer.replace(Some(answer));
                place.answered.notify();
            }
        }
    }

    fn send(&self, request: &KeysRequest) -> Result<(), KeyReason> {
        let mut queue = self.0.queue.borrow_mut();
        if queue.len() >= QUEUE {
            return Err(KeyReason::TooMany);
        }
        queue.push_back(request.to_bytes());
        drop(queue);
        self.0.queued.notify();
        Ok(())
    }

    async fn ask(&self, request: impl FnOnce(u32) -> KeysRequest) -> Answered {
        if !self.0.is_connected.get() {
            return Err(KeyReason::SupervisorAway);
        }
        let number = self.0.next.get();
        self.0.next.set(number.wrapping_add(1));
        let place = Rc::new(Waiting::default());
        self.0.waiting.borrow_mut().insert(number, Rc::clone(&place));
        let _asked = Asked(self, number);
        let answered = place.answered.wait();
        self.send(&request(number))?;
        match timeout(ANSWER_LIMIT, answered).await {
            Ok(()) => place.answer.take().unwrap_or(Err(KeyReason::SupervisorAway)),
            Err(_elapsed) => Err(KeyReason::SupervisorAway),
        }
    }

    /// A connection to the person's agent.
    pub(super) async fn connect(&self) -> Result<OwnedFd, KeyReason> {
        self.ask(|number| KeysRequest::Connect { number }).await?.ok_or(KeyReason::AgentAway)
    }

    /// Whether a signature may be made. It is written down when this says so.
    pub(super) async fn sign(&self, key: Fingerprint, purpose: Purpose) -> Result<(), KeyReason> {
        match self.ask(|number| KeysRequest::Sign { number, key, purpose }).await? {
            None => Ok(()),
            Some(_connection) => Err(KeyReason::SupervisorAway),
        }
    }

    /// Reports what was refused.
    pub(super) fn refused(&self, key: Option<Fingerprint>, purpose: Option<Purpose>, reason: KeyReason) {
        // A session that floods its own refusals loses some of them, and gets none of what it asked for.
        let _ = self.send(&KeysRequest::Refused { key, purpose, reason });
    }
}
