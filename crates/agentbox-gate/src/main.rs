//! The gate of a session's network.
#![forbid(unsafe_code)]

fn main() {}
