//! Conversations with the kernel over netlink(7): a message writer, batches of nftables, answers.
//!
//! An own writer, because what is on the path of every connection has to cost microseconds, and no library
//! sets the time limit of a set's element (docs/decisions/0009). What the kernel answers is read with bounds.

mod message;
mod socket;

#[cfg(fuzzing)]
pub(crate) use message::received;
pub(crate) use message::{Message, attributes};
pub(crate) use socket::Socket;

/// Protocol families of netlink(7).
pub(crate) const ROUTE: i32 = libc::NETLINK_ROUTE;
pub(crate) const NETFILTER: i32 = libc::NETLINK_NETFILTER;
