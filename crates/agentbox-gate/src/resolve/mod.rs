//! Asks upstream resolvers for the addresses of names.
//!
//! | file | responsible for |
//! |---|---|
//! | `question` | writing a question |
//! | `answer` | reading an answer |

mod answer;
#[cfg(test)]
mod forge;
mod question;

pub use answer::{AnswerError, Reply, read_answer};
pub use question::{Asked, Family, WireName, wire_name};
