//! Connections of the session.

mod claim;

pub use claim::{Claim, Expected, Refusal};
