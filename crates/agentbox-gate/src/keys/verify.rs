//! Signatures of hosts (RFC 4253, section 6.6; RFC 5656; RFC 8332; RFC 8709).
//!
//! Ed25519, ECDSA on the curves of 256 and 384 bits, and RSA of 2048 bits and more with SHA-2. The kinds that
//! are not among these are certificates, which known_hosts would have to trust another way, keys on hardware,
//! which hosts do not have, the curve of 521 bits, and everything with SHA-1 or DSA.

use super::read::{NotSsh, Reader};
use agentbox_plan::keys::KeyReason;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

impl From<NotSsh> for KeyReason {
    fn from(_: NotSsh) -> Self {
        Self::Malformed
    }
}

/// Whether the holder of a host's key signed these bytes.
pub(super) fn verify(key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), KeyReason> {
    let mut key = Reader::new(key);
    let mut signature = Reader::new(signature);
    let (kind, algorithm) = (key.string()?, signature.string()?);
    let value = signature.string()?;
    signature.end()?;
    let bad = |_| KeyReason::BadBinding;
    match (kind, algorithm) {
        (b"ssh-ed25519", b"ssh-ed25519") => {
            let public = key.string()?;
            key.end()?;
            UnparsedPublicKey::new(&ED25519, public).verify(data, value).map_err(bad)
        }
        (b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256") => {
            let public = point(key, b"nistp256")?;
            let value = fixed::<32>(value)?;
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(data, &value).map_err(bad)
        }
        (b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp384") => {
            let public = point(key, b"nistp384")?;
            let value = fixed::<48>(value)?;
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(data, &value).map_err(bad)
        }
        (b"ssh-rsa", b"rsa-sha2-256" | b"rsa-sha2-512") => {
            let (e, n) = (key.positive()?, key.positive()?);
            key.end()?;
            let parameters = if algorithm == b"rsa-sha2-256" {
                &RSA_PKCS1_2048_8192_SHA256
            } else {
                &RSA_PKCS1_2048_8192_SHA512
            };
            RsaPublicKeyComponents { n, e }.verify(parameters, data, value).map_err(bad)
        }
        _ => Err(KeyReason::HostKeyKind),
    }
}

fn point<'a>(mut key: Reader<'a>, curve: &[u8]) -> Result<&'a [u8], KeyReason> {
    if key.string()? != curve {
        return Err(KeyReason::Malformed);
    }
    let point = key.string()?;
    key.end()?;
    Ok(point)
}

/// Both numbers of a signature of ECDSA in the length that the curve has.
fn fixed<const LENGTH: usize>(value: &[u8]) -> Result<Vec<u8>, KeyReason> {
    let mut numbers = Reader::new(value);
    let mut fixed = Vec::with_capacity(2 * LENGTH);
    for number in [numbers.positive()?, numbers.positive()?] {
        let zeros = LENGTH.checked_sub(number.len()).ok_or(KeyReason::BadBinding)?;
        fixed.resize(fixed.len() + zeros, 0);
        fixed.extend_from_slice(number);
    }
    numbers.end()?;
    Ok(fixed)
}
