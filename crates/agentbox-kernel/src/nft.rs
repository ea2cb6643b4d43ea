//! Tables of nftables, written as one transaction by the program nft(8).

use crate::sys;
use nftables::helper::{NftablesError, apply_ruleset_raw};
use serde_json::{Value, json};
use std::path::Path;

/// Where it is looked for; the environment does not decide what root runs.
const PROGRAMS: [&str; 4] = ["/usr/sbin/nft", "/sbin/nft", "/run/current-system/sw/bin/nft", "/usr/bin/nft"];

/// Where it is when whoever built this said so (`AGENTBOX_NFT`), and then nowhere else.
const BUILT_WITH: Option<&str> = option_env!("AGENTBOX_NFT");

/// A table could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NftError {
    /// The program is not installed.
    #[error("there is no program nft; install nftables")]
    NoProgram,
    /// The thread that runs it could not be made.
    #[error("cannot leave the descriptors of this process: {0}")]
    Descriptors(std::io::Error),
    /// The thread that runs it ended in the middle.
    #[error("the thread that runs nft ended unexpectedly")]
    Thread,
    /// The program or the kernel refused.
    #[error("nft: {0}")]
    Refused(#[from] Box<NftablesError>),
}

/// The program, when it is installed.
#[must_use]
pub fn program() -> Option<&'static str> {
    let is_there = |path: &&'static str| Path::new(path).exists();
    match BUILT_WITH {
        Some(path) => Some(path).filter(is_there),
        None => PROGRAMS.into_iter().find(is_there),
    }
}

/// Carries out commands in the network namespace of this thread, all or none of them.
pub(crate) fn apply(commands: Vec<Value>) -> Result<(), NftError> {
    let program = program().ok_or(NftError::NoProgram)?;
    // As text: the library's types know no set of user ids.
    let ruleset = json!({ "nftables": commands }).to_string();
    let none: [&str; 0] = [];
    // On a thread with three descriptors: the program would start with a copy of them all, and close each.
    let run = || {
        sys::leave_descriptors(3).map_err(NftError::Descriptors)?;
        let applied = apply_ruleset_raw(&ruleset, Some(program), none);
        applied.map(drop).map_err(|error| NftError::Refused(Box::new(error)))
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap_or(Err(NftError::Thread)))
}

/// The command that adds a table.
pub(crate) fn add(family: &str, table: &str) -> Value {
    json!({ "add": { "table": { "family": family, "name": table } } })
}

/// Commands that replace a table, whether it is there or not: adding one that exists does nothing.
pub(crate) fn replace(family: &str, table: &str) -> Vec<Value> {
    let table = json!({ "table": { "family": family, "name": table } });
    vec![json!({ "add": table }), json!({ "delete": table }), json!({ "add": table })]
}

/// `LEFT == RIGHT`.
pub(crate) fn equals(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}

/// A key of meta expressions.
pub(crate) fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}

/// A field of a header.
pub(crate) fn field(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

/// An address with the length of its prefix.
pub(crate) fn prefix(address: &str, length: u8) -> Value {
    json!({ "prefix": { "addr": address, "len": length } })
}
