//! What is to be signed, read from the bytes that are to be signed.
//!
//! A login begins with the length of a session's id, a signature of files with `SSHSIG`; no bytes are both.

use super::read::{NotSsh, Reader};

/// First bytes of what ssh-keygen -Y signs (PROTOCOL.sshsig of OpenSSH).
const SSHSIG: &[u8] = b"SSHSIG";
/// SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 6)
const USERAUTH_REQUEST: u8 = 50;

/// What bytes are, when they are something that is signed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signable<'a> {
    /// A login with a key (RFC 4252, section 7).
    Login {
        /// Id of the session of ssh.
        session: &'a [u8],
        /// The key that logs in.
        key: &'a [u8],
        /// The key of the host, where the login names it (publickey-hostbound-v00@openssh.com).
        host_key: Option<&'a [u8]>,
    },
    /// A hash of something, for this use.
    Namespace(&'a [u8]),
}

/// Reads bytes that are to be signed.
pub(super) fn signable(data: &[u8]) -> Result<Signable<'_>, NotSsh> {
    match data.strip_prefix(SSHSIG) {
        Some(rest) => namespace(Reader::new(rest)),
        None => login(Reader::new(data)),
    }
}

fn namespace(mut data: Reader<'_>) -> Result<Signable<'_>, NotSsh> {
    let (namespace, reserved) = (data.string()?, data.string()?);
    let (algorithm, hash) = (data.string()?, data.string()?);
    data.end()?;
    let length = match algorithm {
        b"sha256" => 32,
        b"sha512" => 64,
        _ => return Err(NotSsh),
    };
    if namespace.is_empty() || !reserved.is_empty() || hash.len() != length {
        return Err(NotSsh);
    }
    Ok(Signable::Namespace(namespace))
}

fn login(mut data: Reader<'_>) -> Result<Signable<'_>, NotSsh> {
    let session = data.string()?;
    if data.byte()? != USERAUTH_REQUEST {
        return Err(NotSsh);
    }
    let _user = data.string()?;
    let (service, method) = (data.string()?, data.string()?);
    let (has_signature, algorithm, key) = (data.flag()?, data.string()?, data.string()?);
    if service != b"ssh-connection" || !has_signature || algorithm.is_empty() {
        return Err(NotSsh);
    }
    let host_key = match method {
        b"publickey" => None,
        b"publickey-hostbound-v00@openssh.com" => Some(data.string()?),
        _ => return Err(NotSsh),
    };
    data.end()?;
    Ok(Signable::Login { session, key, host_key })
}
