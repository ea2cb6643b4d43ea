//! What a looker says while it watches: a length (`u32`) and a [`Sighting`], one after the other.

use super::Spot;
use crate::wire::{Wire, WireError, wire_enum};

/// Most bytes of one.
pub const MAX_SIGHTING_BYTES: usize = 16 << 10;

wire_enum! {
    /// Something that was seen.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Sighting {
        /// Everything that can be is watched from now on.
        1 = Watching {
            /// How many directories.
            directories: u32,
            /// How many there are besides.
            unseen: u32,
        },
        /// A file that nobody may make came to be, or was written.
        2 = Trigger {
            /// Which.
            spot: Spot,
            /// Who acts on it.
            actor: String,
            /// The process, which may be gone or another one by now; 0 when it was there already.
            pid: u32,
        },
        /// A configuration of git's was written.
        3 = Config {
            /// Which.
            spot: Spot,
        },
        /// More happened than could be told.
        4 = Lost,
    }
}

/// The bytes of a sighting on its way.
#[must_use]
pub fn framed(sighting: &Sighting) -> Vec<u8> {
    let bytes = sighting.to_bytes();
    let mut frame = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    frame
}

/// Takes the first whole sighting out of what was received; `None` when there is none yet.
///
/// # Errors
/// [`WireError`] when it is none, or longer than any.
pub fn take_sighting(received: &mut Vec<u8>) -> Result<Option<Sighting>, WireError> {
    let Some(length) = received.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_SIGHTING_BYTES {
        return Err(WireError::Invalid { at: 4, what: "length of a sighting" });
    }
    let Some(bytes) = received.get(4..4 + length) else { return Ok(None) };
    let sighting = Sighting::from_bytes(bytes)?;
    received.drain(..4 + length);
    Ok(Some(sighting))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::PlacePath;

    #[test]
    fn sightings_are_taken_one_after_the_other_and_a_forged_length_is_an_error() {
        let trigger = Sighting::Trigger {
            spot: Spot { place: 0, path: PlacePath::new(".mcp.json").unwrap() },
            actor: "claude".into(),
            pid: 7,
        };
        let mut bytes = [framed(&trigger), framed(&Sighting::Lost)].concat();
        let last = bytes.pop().unwrap();
        assert_eq!(take_sighting(&mut bytes), Ok(Some(trigger)));
        assert_eq!(take_sighting(&mut bytes), Ok(None));
        bytes.push(last);
        assert_eq!(take_sighting(&mut bytes), Ok(Some(Sighting::Lost)));
        assert_eq!(take_sighting(&mut bytes), Ok(None));
        assert!(take_sighting(&mut vec![0xff; 8]).is_err());
    }
}
