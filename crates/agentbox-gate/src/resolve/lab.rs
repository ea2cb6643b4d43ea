//! Resolvers on loopback, for tests.

use super::forge::{Forged, is_v6, name_of};
use super::{Coming, Finding, Upstream};
use crate::runtime::give_way;
use agentbox_plan::gate::Transport;
use agentbox_plan::net::Reason;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a resolver sends for a question, one after the other.
pub(crate) type Behaviour = fn(&[u8]) -> Vec<Vec<u8>>;

/// A resolver in threads of its own, which end with the test program.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) questions: Arc<Mutex<Vec<(Transport, String)>>>,
}

impl Server {
    pub(crate) fn new(by_datagrams: Behaviour, by_stream: Behaviour) -> Self {
        let (stream, datagrams) = loop {
            let stream = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(datagrams) = UdpSocket::bind(stream.local_addr().unwrap()) {
                break (stream, datagrams);
            }
        };
        let address = stream.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&questions);
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            loop {
                let (count, from) = datagrams.recv_from(&mut bytes).unwrap();
                let question = &bytes[..count];
                seen.lock().unwrap().push((Transport::Udp, name_of(question)));
                for answer in by_datagrams(question) {
                    datagrams.send_to(&answer, from).unwrap();
                }
            }
        });
        let seen = Arc::clone(&questions);
        thread::spawn(move || {
            for stream in stream.incoming() {
                let (mut stream, seen) = (stream.unwrap(), Arc::clone(&seen));
                thread::spawn(move || {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut question).unwrap();
                    seen.lock().unwrap().push((Transport::Tcp, name_of(&question)));
                    for answer in by_stream(&question) {
                        stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
                        stream.write_all(&answer).unwrap();
                    }
                    // Until the other side ends it.
                    let _ = stream.read(&mut length);
                });
            }
        });
        Self { address, questions }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.questions.lock().unwrap().iter().map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn count(&self, transport: Transport) -> usize {
        self.questions.lock().unwrap().iter().filter(|(by, _)| *by == transport).count()
    }
}

/// What gives sockets to these resolvers.
pub(crate) struct Lab {
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) refuses: Option<Reason>,
    /// How many were asked for.
    pub(crate) given: Rc<Cell<usize>>,
}

impl Upstream for Lab {
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_> {
        self.given.set(self.given.get() + 1);
        let address = self.resolvers.get(usize::from(which)).copied();
        let refuses = self.refuses;
        Box::pin(async move {
            give_way().await;
            if let Some(reason) = refuses {
                return Err(reason);
            }
            let address = address.ok_or(Reason::Unresolved)?;
            Ok(match transport {
                Transport::Udp => {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    socket.connect(address).unwrap();
                    OwnedFd::from(socket)
                }
                Transport::Tcp => {
                    let stream = TcpStream::connect(address).map_err(|_| Reason::Unresolved)?;
                    stream.set_nonblocking(true).unwrap();
                    stream.into()
                }
            })
        })
    }
}

pub(crate) fn found(list: &[&str]) -> Finding {
    Finding::Found(list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>().into())
}

pub(crate) fn silent(_: &[u8]) -> Vec<Vec<u8>> {
    vec![]
}

pub(crate) fn good_bytes(question: &[u8]) -> Vec<u8> {
    let address = if is_v6(question) { "2001:db8::1" } else { "9.9.9.9" };
    Forged::to(question, 0).address(&name_of(question), address, 60).0
}

pub(crate) fn good(question: &[u8]) -> Vec<Vec<u8>> {
    vec![good_bytes(question)]
}

pub(crate) fn both() -> Finding {
    found(&["2001:db8::1", "9.9.9.9"])
}
