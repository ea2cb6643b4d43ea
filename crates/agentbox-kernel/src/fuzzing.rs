//! What the fuzz targets call: what this crate reads of the kernel's answers, which name what agents named.

use crate::netlink::{attributes, received};
use crate::{lease, reach};

/// Whether a mount table is one.
#[must_use]
pub fn mount_table(bytes: &[u8]) -> bool {
    crate::mountinfo::parse(bytes).is_some()
}

/// How many names of files the guard's record holds.
#[must_use]
pub fn guard_record(bytes: &[u8]) -> Option<usize> {
    crate::guard::read_record(bytes)
}

/// Reads a file of leases, with its own checksum and with one that fits; what it says is written like that.
pub fn leases(bytes: &[u8]) {
    let with_check = |body: &str| format!("{body}check {}", lease::check_of(body)).into_bytes();
    for bytes in [Some(bytes.to_vec()), std::str::from_utf8(bytes).ok().map(with_check)].into_iter().flatten()
    {
        if let Ok((range, mark)) = lease::parse(&bytes) {
            assert_eq!(lease::format(range, mark), bytes);
        }
    }
}

/// Reads the bodies of messages about addresses and routes.
#[must_use]
pub fn networks(body: &[u8]) -> usize {
    usize::from(reach::read_address(body).is_some()) + usize::from(reach::read_route(body).is_some())
}

/// Bytes of all attributes of all messages in a packet.
#[must_use]
pub fn packet(bytes: &[u8]) -> usize {
    let bodies = received(bytes).map(|message| message.body);
    bodies.flat_map(attributes).map(|(_, value)| value.len()).sum()
}
