//! Questions for names that the session asks, and their answers.
//!
//! A name is answered with a synthetic address that stands for it, whether it may be reached or not: a refusal
//! can be said in words only where the name is connected to. Outside, only a name that a rule or the mode
//! allows is ever asked for, so that asking carries nothing out of a session that nobody allowed.
//!
//! | file | responsible for |
//! |---|---|
//! | `message` | reading a question |
//! | `reply` | writing an answer |
//! | `special` | names that are not looked up like others |
//! | `server` | [`Server`]: what a question is answered with |
//! | `udp`, `frame`, `tcp` | questions as datagrams, and on streams |

pub mod frame;
pub mod message;
pub mod reply;
mod server;
mod special;
pub mod tcp;
pub mod udp;

pub use server::{Server, Session};
