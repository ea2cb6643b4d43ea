//! What the person's agent said, and what of it the session is told.

use super::number::{FAILURE, IDENTITIES_ANSWER, SIGN_RESPONSE};
use super::read::{NotSsh, Reader};
use agentbox_plan::keys::Fingerprint;
use ring::digest::{SHA256, digest};

/// What stands in place of the person's comments, which hold addresses and paths.
const COMMENT: &[u8] = b"agentbox";
/// Most keys that are looked at.
const MAX_KEYS: u32 = 4096;

/// Fingerprint of a public key on the wire.
#[must_use]
pub fn fingerprint(blob: &[u8]) -> Fingerprint {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, blob).as_ref()) {
        *to = *from;
    }
    Fingerprint(bytes)
}

/// An answer with those keys of the agent's answer that are chosen; a refusal when it is no list.
#[must_use]
pub fn chosen_keys(answer: &[u8], chosen: &[Fingerprint]) -> Vec<u8> {
    let keys = || -> Result<Vec<&[u8]>, NotSsh> {
        let mut answer = Reader::new(answer);
        if answer.byte()? != IDENTITIES_ANSWER {
            return Err(NotSsh);
        }
        let count = answer.number()?;
        if count > MAX_KEYS {
            return Err(NotSsh);
        }
        let mut keys = Vec::new();
        for _ in 0..count {
            let (key, _comment) = (answer.string()?, answer.string()?);
            if chosen.contains(&fingerprint(key)) {
                keys.push(key);
            }
        }
        answer.end().map(|()| keys)
    };
    let Ok(keys) = keys() else { return vec![FAILURE] };
    let mut told = vec![IDENTITIES_ANSWER];
    put_number(keys.len(), &mut told);
    for key in keys {
        put(key, &mut told);
        put(COMMENT, &mut told);
    }
    told
}

/// Whether an answer is one signature and nothing else.
#[must_use]
pub fn is_signature(answer: &[u8]) -> bool {
    let whole = || -> Result<(), NotSsh> {
        let mut answer = Reader::new(answer);
        if answer.byte()? != SIGN_RESPONSE {
            return Err(NotSsh);
        }
        answer.string()?;
        answer.end()
    };
    whole().is_ok()
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_number(number: usize, out: &mut Vec<u8>) {
    // Both are bounded by the length of a message.
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}
