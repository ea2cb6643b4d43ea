//! A gate of keys as its three sides meet it: the session, the supervisor, and the person's agent.

use super::*;
use crate::keys::frame;
use crate::keys::link::Link;
use crate::keys::serve::serve;
use crate::link::tests::give;
use crate::runtime::{Fd, block_on, spawn, timeout};
use agentbox_plan::Wire as _;
use agentbox_plan::keys::{KeysAnswer, KeysRequest, MAX_CLIENTS};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, recv};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

const FAILURE: &[u8] = &[5];
const SUCCESS: &[u8] = &[6];
const LIST: &[u8] = &[11];
const SIGNATURE: &[u8] = b"\x0e\0\0\0\x04true";

fn listener(directory: &tempfile::TempDir, name: &str, kind: SocketType) -> OwnedFd {
    let listener = rustix::net::socket(AddressFamily::UNIX, kind, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(directory.path().join(name)).unwrap()).unwrap();
    rustix::net::listen(&listener, 64).unwrap();
    listener
}

/// What is around a gate that serves.
struct Around {
    directory: tempfile::TempDir,
    supervisor: Fd<OwnedFd>,
}

impl Around {
    /// `client_uid`: who the session is.
    async fn new(client_uid: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let link = Link::serve(listener(&directory, "gate", SocketType::SEQPACKET)).unwrap();
        let clients = listener(&directory, "agent", SocketType::STREAM);
        let mut plan = Rc::unwrap_or_clone(plan(true));
        plan.client_uid = client_uid;
        spawn(async move { serve(Rc::new(plan), link, clients).await.unwrap() });
        let supervisor = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        let gate = SocketAddrUnix::new(directory.path().join("gate")).unwrap();
        rustix::net::connect(&supervisor, &gate).unwrap();
        let around = Self { directory, supervisor: Fd::new(supervisor).unwrap() };
        assert_eq!(around.asked().await, KeysRequest::Ready);
        around
    }

    fn client(&self) -> Fd<OwnedFd> {
        Fd::new(UnixStream::connect(self.directory.path().join("agent")).unwrap().into()).unwrap()
    }

    /// What the supervisor is asked next.
    async fn asked(&self) -> KeysRequest {
        let mut bytes = [0; 4096];
        let read = |fd: &OwnedFd| Ok(recv(fd, &mut bytes[..], RecvFlags::empty())?.0);
        let read = timeout(LIMIT, self.supervisor.read_with(read)).await;
        let count = read.expect("nothing is asked").unwrap();
        KeysRequest::from_bytes(&bytes[..count]).unwrap()
    }

    /// The number of the signature that is asked for next, of which key and for what.
    async fn signs(&self) -> (u32, Fingerprint, Purpose) {
        let KeysRequest::Sign { number, key, purpose } = self.asked().await else { panic!("not asked") };
        (number, key, purpose)
    }

    /// Gives the connection to the person's agent that is asked for next; its other end.
    async fn connects(&self) -> Fd<OwnedFd> {
        let KeysRequest::Connect { number } = self.asked().await else { panic!("no connection is wanted") };
        let (near, far) = UnixStream::pair().unwrap();
        give(&self.supervisor, &KeysAnswer::Socket { number }, Some(&near.into()));
        Fd::new(far.into()).unwrap()
    }
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

async fn say(stream: &Fd<OwnedFd>, message: &[u8]) {
    frame::write(stream, message).await.unwrap();
}

/// None when the other side has closed.
async fn hear(stream: &Fd<OwnedFd>) -> Option<Vec<u8>> {
    let read = timeout(LIMIT, frame::read(stream, 1 << 18)).await;
    read.expect("nothing is said").unwrap_or(None)
}

fn git() -> Vec<u8> {
    request(USER_KEY, &namespace(b"git"), 0)
}

#[test]
fn a_signature_is_written_down_before_the_persons_agent_is_asked_for_it() {
    block_on(async {
        let around = Around::new(me()).await;
        let client = around.client();
        say(&client, &git()).await;
        let agent = around.connects().await;
        let (number, key, purpose) = around.signs().await;
        assert_eq!((key, purpose), (fingerprint(USER_KEY), Purpose::Git));
        give(&around.supervisor, &KeysAnswer::Refused { number, reason: KeyReason::Declined }, None);
        assert_eq!(hear(&client).await.as_deref(), Some(FAILURE));
        // The connection is there, and nothing came over it.
        let nothing = recv(agent.get(), &mut [0; 1][..], RecvFlags::DONTWAIT);
        assert_eq!(nothing.unwrap_err(), rustix::io::Errno::AGAIN);
        // The control.
        say(&client, &git()).await;
        let (number, ..) = around.signs().await;
        give(&around.supervisor, &KeysAnswer::Granted { number }, None);
        assert_eq!(hear(&agent).await, Some(git()));
        say(&agent, SIGNATURE).await;
        assert_eq!(hear(&client).await.as_deref(), Some(SIGNATURE));
    })
    .unwrap();
}

#[test]
fn nothing_is_written_down_as_signed_where_nobody_is_who_would_sign() {
    block_on(async {
        let around = Around::new(me()).await;
        let client = around.client();
        say(&client, &git()).await;
        let KeysRequest::Connect { number } = around.asked().await else { panic!("not asked") };
        give(&around.supervisor, &KeysAnswer::Refused { number, reason: KeyReason::AgentAway }, None);
        assert_eq!(hear(&client).await.as_deref(), Some(FAILURE));
        let refused = KeysRequest::Refused {
            key: Some(fingerprint(USER_KEY)),
            purpose: Some(Purpose::Git),
            reason: KeyReason::AgentAway,
        };
        assert_eq!(around.asked().await, refused);
    })
    .unwrap();
}

#[test]
fn of_the_persons_agent_the_session_hears_signatures_and_chosen_keys() {
    block_on(async {
        let around = Around::new(me()).await;
        let client = around.client();
        say(&client, LIST).await;
        let agent = around.connects().await;
        assert_eq!(hear(&agent).await.as_deref(), Some(LIST));
        let all =
            [&[12, 0, 0, 0, 2][..], &string(USER_KEY), &string(b"me"), &string(OTHER_KEY), &string(b"")];
        say(&agent, &all.concat()).await;
        let told = hear(&client).await.unwrap();
        assert_eq!(told, chosen_keys(&all.concat(), &plan(true).keys));
        assert!(told.windows(USER_KEY.len()).any(|window| window == USER_KEY));
        // What is no signature is a failure.
        say(&client, &git()).await;
        let (number, ..) = around.signs().await;
        give(&around.supervisor, &KeysAnswer::Granted { number }, None);
        assert_eq!(hear(&agent).await, Some(git()));
        say(&agent, &all.concat()).await;
        assert_eq!(hear(&client).await.as_deref(), Some(FAILURE));
    })
    .unwrap();
}

#[test]
fn what_binds_a_connection_is_said_to_the_persons_agent_first() {
    block_on(async {
        let around = Around::new(me()).await;
        let client = around.client();
        let binding = Host::new(1).binding(SESSION, 0);
        say(&client, &binding).await;
        assert_eq!(hear(&client).await.as_deref(), Some(SUCCESS));
        let wanted = request(USER_KEY, &login(SESSION, USER_KEY, None), 0);
        say(&client, &wanted).await;
        let agent = around.connects().await;
        assert_eq!(hear(&agent).await, Some(binding));
        say(&agent, SUCCESS).await;
        let (number, ..) = around.signs().await;
        give(&around.supervisor, &KeysAnswer::Granted { number }, None);
        assert_eq!(hear(&agent).await, Some(wanted));
    })
    .unwrap();
}

#[test]
fn what_is_no_message_is_told_and_ends_the_connection() {
    block_on(async {
        let around = Around::new(me()).await;
        let client = around.client();
        rustix::net::send(client.get(), &[0xff; 4], SendFlags::empty()).unwrap();
        assert_eq!(hear(&client).await, None);
        let refused = KeysRequest::Refused { key: None, purpose: None, reason: KeyReason::Malformed };
        assert_eq!(around.asked().await, refused);
    })
    .unwrap();
}

#[test]
fn nobody_but_the_session_is_answered() {
    block_on(async {
        let other = Around::new(me() + 1).await;
        let client = other.client();
        // It may be closed before the request is written.
        let _ = frame::write(&client, LIST).await;
        assert_eq!(hear(&client).await, None);
        // The control: the same is answered to the session.
        let own = Around::new(me()).await;
        let client = own.client();
        say(&client, LIST).await;
        let agent = own.connects().await;
        assert_eq!(hear(&agent).await.as_deref(), Some(LIST));
    })
    .unwrap();
}

#[test]
fn more_connections_than_there_may_be_are_closed_and_told() {
    block_on(async {
        let around = Around::new(me()).await;
        let mut clients: Vec<_> = (0..MAX_CLIENTS).map(|_| around.client()).collect();
        let another = around.client();
        assert_eq!(hear(&another).await, None);
        let refused = KeysRequest::Refused { key: None, purpose: None, reason: KeyReason::TooMany };
        assert_eq!(around.asked().await, refused);
        // Those that are there are served, and one that ends makes room.
        let first = clients.remove(0);
        rustix::net::shutdown(first.get(), rustix::net::Shutdown::Both).unwrap();
        drop(first);
        say(&clients[0], &Host::new(1).binding(SESSION, 0)).await;
        assert_eq!(hear(&clients[0]).await.as_deref(), Some(SUCCESS));
        let next = around.client();
        say(&next, &Host::new(1).binding(SESSION, 0)).await;
        assert_eq!(hear(&next).await.as_deref(), Some(SUCCESS));
    })
    .unwrap();
}
