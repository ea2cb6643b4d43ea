//! Changes of a network by netlink(7): each adds something harmless, and the caller takes it away again.

use super::PATIENCE;
use super::socket::{open, receive, send};
use crate::errno::Errno;
use std::os::fd::OwnedFd;
use std::time::Instant;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
/// Type of a message that says how a request went.
const ERROR: u16 = 2;

/// Whether something is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

/// What is changed: the number of the message that adds it, its fixed part, its attributes.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub add: u16,
    pub remove: u16,
    pub fixed: Vec<u8>,
    pub attributes: Vec<(u16, Vec<u8>)>,
}

impl Thing {
    pub(crate) fn message(&self, change: Change) -> Vec<u8> {
        let (number, flags) = match change {
            Change::Add => (self.add, REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE),
            Change::Remove => (self.remove, REQUEST | ACKNOWLEDGE),
        };
        let mut body = self.fixed.clone();
        for (number, content) in &self.attributes {
            put_attribute(&mut body, *number, content);
        }
        framed(number, flags, &body)
    }
}

/// An attribute with attributes in it.
pub(crate) fn nested(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, content) in attributes {
        put_attribute(&mut out, *number, content);
    }
    out
}

fn put_attribute(out: &mut Vec<u8>, number: u16, content: &[u8]) {
    out.extend((content.len() as u16 + 4).to_ne_bytes());
    out.extend(number.to_ne_bytes());
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn framed(number: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 16).to_ne_bytes();
    let mut out =
        [&length[..], &number.to_ne_bytes(), &flags.to_ne_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    out.extend(body);
    out
}

/// A message of nftables between the two that make it whole.
pub(crate) fn nftables_batch(message: &[u8]) -> Vec<u8> {
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    const NFTABLES: [u8; 4] = [0, 0, 0, 10];
    [&framed(BEGIN, REQUEST, &NFTABLES)[..], message, &framed(END, REQUEST, &NFTABLES)].concat()
}

/// A socket of a netlink protocol.
pub(crate) fn socket(protocol: i32) -> Result<OwnedFd, Errno> {
    open(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
}

/// Asks the kernel and waits for what it says.
pub(crate) fn ask(socket: &OwnedFd, message: &[u8]) -> Result<(), Errno> {
    send(socket, message, 0, None)?;
    let (mut buffer, until) = ([0; 4096], Instant::now() + PATIENCE);
    loop {
        let length = receive(socket, &mut buffer, until)?;
        if let Some(said) = answer(&buffer[..length]) {
            return said;
        }
    }
}

fn answer(bytes: &[u8]) -> Option<Result<(), Errno>> {
    let number = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(bytes.get(16..20)?.try_into().ok()?);
    (number == ERROR).then_some(if code == 0 { Ok(()) } else { Err(Errno(-code)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_whole_words_and_count_the_head() {
        let thing = Thing { add: 20, remove: 21, fixed: vec![0; 8], attributes: vec![(1, vec![1, 2, 3])] };
        let bytes = thing.message(Change::Add);
        assert_eq!(bytes.len(), 16 + 8 + 8);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(&bytes[24..], [7, 0, 1, 0, 1, 2, 3, 0]);
        assert_eq!(nftables_batch(&bytes).len(), 20 + bytes.len() + 20);
    }

    #[test]
    fn the_kernel_refuses_what_has_no_sense() {
        let Ok(socket) = socket(libc::NETLINK_ROUTE) else { return };
        let nonsense = framed(libc::RTM_NEWADDR, REQUEST | ACKNOWLEDGE, &[0; 8]);
        assert!(ask(&socket, &nonsense).is_err());
    }
}
