//! What git keeps in files, as far as it has to be understood. No git is run: it would obey what it reads.

pub(crate) mod hooks;
pub mod index;
pub(crate) mod keys;
pub(crate) mod pointers;
pub(crate) mod repository;
