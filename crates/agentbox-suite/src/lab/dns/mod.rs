//! Resolvers that say what a test wants, and remember every question.

pub mod message;
mod zone;

pub use zone::Says;

use super::serving::{Serving, Sockets};
use super::space::Space;
use anyhow::{Context, Result};
use message::Asked;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use zone::Zone;

/// A question that reached a resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case.
    pub name: String,
    /// Its type.
    pub kind: u16,
    /// Which resolver was asked.
    pub resolver: IpAddr,
    /// Who asked.
    pub from: SocketAddr,
    /// Whether by TCP.
    pub stream: bool,
    /// Its id.
    pub id: u16,
}

/// All resolvers of a lab. They answer from one zone, except where one has its own view.
#[derive(Debug, Default)]
pub struct Dns {
    state: Arc<State>,
    serving: Vec<Serving>,
}

#[derive(Debug, Default)]
struct State {
    zone: Mutex<Zone>,
    asked: Mutex<Vec<Question>>,
}

impl Dns {
    /// Another resolver.
    pub(super) fn listen(&mut self, space: &Space, address: IpAddr) -> Result<()> {
        let sockets = space.enter(|| -> Result<Sockets> {
            let at = SocketAddr::new(address, 53);
            let udp = UdpSocket::bind(at).with_context(|| format!("udp {at}"))?;
            let tcp = TcpListener::bind(at).with_context(|| format!("tcp {at}"))?;
            Ok(Sockets { streams: vec![tcp], datagrams: vec![udp] })
        })??;
        let (for_streams, for_datagrams) = (Arc::clone(&self.state), Arc::clone(&self.state));
        let serving = Serving::start(
            sockets,
            move |stream| {
                let _ = for_streams.serve(stream, address);
            },
            move |socket, bytes, from| {
                let reply = for_datagrams.reply(bytes, address, from, false);
                for packet in reply {
                    let _ = socket.send_to(&packet, from);
                }
            },
        )?;
        self.serving.push(serving);
        Ok(())
    }

    /// What all resolvers say of a name from now on.
    pub fn set(&self, name: &str, says: Says) {
        self.state.zone.lock().unwrap_or_else(PoisonError::into_inner).set(None, name, says);
    }

    /// What one resolver says of a name from now on.
    pub fn set_at(&self, resolver: IpAddr, name: &str, says: Says) {
        self.state.zone.lock().unwrap_or_else(PoisonError::into_inner).set(Some(resolver), name, says);
    }

    /// Addresses of a name: short for the most frequent [`Dns::set`].
    ///
    /// # Panics
    /// When one is no address.
    pub fn address(&self, name: &str, addresses: &[&str]) {
        let parse = |text: &&str| text.parse().unwrap_or_else(|_| panic!("no address: {text}"));
        self.set(name, Says::Addresses(addresses.iter().map(parse).collect()));
    }

    /// Every question so far.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Questions whose name holds this text.
    #[must_use]
    pub fn asked_for(&self, text: &str) -> Vec<Question> {
        let text = text.to_lowercase();
        self.questions().into_iter().filter(|question| question.name.contains(&text)).collect()
    }
}

impl State {
    /// Packets that answer one question: none, one, or (from one that lies) more.
    fn reply(&self, bytes: &[u8], resolver: IpAddr, from: SocketAddr, stream: bool) -> Vec<Vec<u8>> {
        let Some(asked) = Asked::read(bytes) else { return Vec::new() };
        let question =
            Question { name: asked.name.clone(), kind: asked.kind, resolver, from, stream, id: asked.id };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).reply(&asked, resolver, stream)
    }

    fn serve(&self, mut stream: TcpStream, resolver: IpAddr) -> Result<()> {
        let from = stream.peer_addr()?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            for packet in self.reply(&question, resolver, from, true) {
                stream.write_all(&u16::try_from(packet.len())?.to_be_bytes())?;
                stream.write_all(&packet)?;
            }
        }
    }
}
