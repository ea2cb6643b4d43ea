//! The ssh-agent of sessions: what the supervisor decides and does for their gates of keys.
//!
//! | file | responsible for |
//! |---|---|
//! | `session` | what a session may sign, what it has signed; the state that is kept beside its ledger |
//! | `gate` | the conversation with a gate of keys |
//! | `reach` | connections to the person's own agent |
//! | `waiting` | signatures that wait for the person |
//! | `words` | what is refused, and what to do about it |

pub(crate) mod gate;
mod reach;
pub(crate) mod session;
mod waiting;
mod words;

pub(crate) use session::SessionKeys;
pub(crate) use words::LOST;
