//! The D-Bus contract between the supervisor and those who ask it, stated once.
//!
//! `agentboxd` serves [`INTERFACE`] at [`PATH`]; `agentboxctl` calls it through [`ManagerProxy`]. Each session has an object
//! with [`SESSION_INTERFACE`] at [`session_path`]. Everything
//! structured crosses as `a{sv}` and is turned from and into the types here by [`to_dict`] and
//! [`from_dict`], which refuse keys that the types do not have. What a person may be told is an [`Error`].
//!
//! | file | holds |
//! |---|---|
//! | `proxy` | [`ManagerProxy`], the client's side of the interface, and its names |
//! | `access` | every method with who may call it; the bus policy and polkit actions made of that |
//! | `dictionary` | [`Dict`], [`to_dict`], [`from_dict`], their limits |
//! | `error` | [`Error`] |
//! | `event` | every event of the audit trail with its `MESSAGE_ID` |
//! | `start` | what `Start` and `Explain` take and answer |
//! | `session` | what `List`, `Status`, `Attach` and `Exec` take and answer |
//! | `network` | what `Allow`, `Deny` and `Why` answer, and the network of a session's status |
//! | `review` | what `Changes`, `Review` and `Reviewed` take and answer |
//! | `keys` | what `Confirmations` answers |
//! | `report` | what `Report` answers |
//! | `supervisor` | what is said about the supervisor, its host and its audit trail |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod access;
mod dictionary;
mod error;
mod event;
mod keys;
mod network;
mod proxy;
mod report;
mod review;
mod session;
mod start;
mod supervisor;

pub use access::{Action, METHODS, Method, Rule, SESSION_METHODS, bus_policy, polkit_actions};
pub use dictionary::{Dict, DictionaryError, MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, from_dict, to_dict};
pub use error::Error;
pub use event::{EVENTS, Event};
pub use keys::Confirmation;
pub use network::{
    Access, AllowAnswer, DestinationTotal, MAX_DESTINATIONS, NetworkStatus, PublishedPort, WhyAnswer,
};
pub use proxy::{
    BUS_NAME, ERROR_PREFIX, GROUP, INTERFACE, ManagerProxy, PATH, SESSION_INTERFACE, SOCKET_NAME,
    session_path,
};
pub use report::{ReportAnswer, ReportLine};
pub use review::{ChangeSet, ReviewAnswer, Taken};
pub use session::{Client, SessionState, SessionStatus, SessionSummary, ValueRow};
pub use start::{ExplainAnswer, StartAnswer, StartRequest, TrustAnswer};
pub use supervisor::{Check, CheckState, LogVerdict, Mode, SupervisorStatus};
