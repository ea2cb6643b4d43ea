//! Taking a session's changes into the project.
//!
//! ```text
//!  select ──▶ prepare ──────────────▶ journal ──▶ carry out ──▶ remember ──▶ journal gone ──▶ staging gone
//!             everything that will     synced      only renames,  │
//!             be there is written      from here   new and empty  └ a step that fails: everything is taken back
//!             into a directory of      on it is    directories
//!             its own and synced       finished
//! ```
//!
//! What is cut off before the journal leaves the project as it was, and afterwards is finished by the next
//! call, or, where the directory of what was prepared is gone, ended and told. Each file changes in one step (rename(2), RENAME_EXCHANGE), and what comes out is looked at: where it
//! is not what was expected, because somebody saved the file at that moment, it is put back.
//!
//! | file | responsible for |
//! |---|---|
//! | `select` | which changes are taken, and why the others are not |
//! | `journal` | the steps, written down |
//! | `engine` | preparing, carrying out, taking back |

mod engine;
pub(crate) mod journal;
mod select;
#[cfg(test)]
mod tests;

pub(crate) use engine::{Outcome, Place, apply, recover};
pub(crate) use select::{Conflicts, Left, Selection, Why, select};
