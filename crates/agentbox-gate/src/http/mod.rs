//! HTTP without encryption: whether every request on a connection is for the host that it goes to.
//!
//! | file | responsible for |
//! |---|---|
//! | `requests` | [`Requests`]: the stream from the client, request after request |
//! | `head` | one request's head |
//! | `lines` | holding back what is not whole, in bounds |
//! | `upgrade` | [`Upgrade`]: what the server answers to a request for another protocol |
//! | `words` | [`response`]: what a client reads when it is refused |

mod head;
mod lines;
mod requests;
mod upgrade;
mod words;

pub(crate) use lines::EndOfHead;
pub use requests::{Requests, Want};
pub use upgrade::{Answered, Upgrade};
pub use words::{Words, response};

/// Most bytes of a head, of a trailer, and of what a server says before it has answered.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
