//! What the fuzz targets call: what this crate reads of the kernel's answers, which name what agents named.

use crate::netlink::{attributes, received};

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

/// Bytes of all attributes of all messages in a packet.
#[must_use]
pub fn packet(bytes: &[u8]) -> usize {
    let bodies = received(bytes).map(|message| message.body);
    bodies.flat_map(attributes).map(|(_, value)| value.len()).sum()
}
