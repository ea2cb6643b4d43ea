//! Which host a connection is for (PROTOCOL.agent of OpenSSH, section 1).
//!
//! ssh says on each connection to an agent which session of ssh it is for: the host's key, the session's id
//! and the host's signature over it. So the agent knows whom a login is for, whatever the program says.

use super::read::Reader;
use super::verify::verify;
use agentbox_plan::keys::{KeyReason, KnownHost};

/// Name of the extension.
pub(super) const NAME: &[u8] = b"session-bind@openssh.com";
/// Lengths of the hashes that become ids of sessions: SHA-1 to SHA-512.
const SESSION_ID_BYTES: std::ops::RangeInclusive<usize> = 20..=64;

/// A session of ssh with a chosen host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// Place of the host.
    pub(super) host: u16,
    /// The key that it proved to have.
    pub(super) host_key: Vec<u8>,
    /// Id of the session.
    pub(super) session: Vec<u8>,
}

/// Reads what follows the name of the extension, and holds it against the chosen hosts.
pub(super) fn bind(mut message: Reader<'_>, hosts: &[KnownHost]) -> Result<Bound, KeyReason> {
    let (host_key, session, signature) = (message.string()?, message.string()?, message.string()?);
    let is_forwarding = message.flag()?;
    message.end()?;
    if is_forwarding {
        return Err(KeyReason::Forwarded);
    }
    if !SESSION_ID_BYTES.contains(&session.len()) {
        return Err(KeyReason::Malformed);
    }
    let is_known = |host: &KnownHost| host.keys.iter().any(|key| key.blob() == host_key);
    let host = hosts.iter().position(is_known).ok_or(KeyReason::OtherHost)?;
    let host = u16::try_from(host).map_err(|_| KeyReason::OtherHost)?;
    verify(host_key, session, signature)?;
    Ok(Bound { host, host_key: host_key.to_vec(), session: session.to_vec() })
}
