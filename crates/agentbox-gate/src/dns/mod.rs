//! Questions for names that the session asks, and their answers.
//!
//! A name is answered with a synthetic address that stands for it; only a name that a rule allows is ever
//! asked for outside, so that no name carries anything out of a session that nobody allowed.
//!
//! | file | responsible for |
//! |---|---|
//! | `frame` | messages on a stream |
//! | `message` | reading a question |
//! | `reply` | writing an answer |

pub mod frame;
pub mod message;
pub mod reply;
