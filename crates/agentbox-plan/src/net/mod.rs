//! What a session may reach: names, addresses, rules and the judgement over them.
//!
//! The gate judges with this before it asks, the supervisor again before it connects; neither believes
//! the other. Nothing here does IO.
//!
//! | file | holds |
//! |---|---|
//! | `name` | [`HostName`] |
//! | `cidr` | [`Cidr`] |
//! | `internal` | [`internal_range`], the addresses that are nobody's public ones |
//! | `target` | [`Target`], what a rule is about, as it is written in configuration |
//! | `rules` | [`Rules`] and [`Decision`] |
//! | `translator` | [`Translators`], the prefixes by which a network leads from IPv6 to IPv4 |
//! | `remedy` | [`Refused`], and what a person does about it |
//! | `standing` | [`Standing`], the judgement before a port is known |

mod cidr;
mod internal;
mod name;
mod remedy;
mod rules;
mod standing;
mod target;
mod translator;

pub use cidr::{Cidr, CidrError};
pub use internal::{canonical, internal_range, reached};
pub use name::{HostName, HostNameError};
pub use remedy::{LIVE_ALLOW, LIVE_DENY, Refused};
pub use rules::{Decision, Destination, Mode, Reason, Rule, Rules, Verdict};
pub use standing::Standing;
pub use target::{Pattern, Target, TargetError};
pub use translator::{IPV4_ONLY, Translator, Translators};
