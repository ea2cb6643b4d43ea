//! Marks that arrived: what every far side of the field looks for in all that it receives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How the tag of every run begins. Nothing else on the wire has it.
const BEGINNING: &[u8] = b"abfield";

/// The tag of a run, which no other run's begins with.
pub(super) fn tag(run: u32) -> String {
    format!("{}{run}x", String::from_utf8_lossy(BEGINNING))
}

/// Each mark with the places where it was seen.
pub type Marks = BTreeMap<String, BTreeSet<&'static str>>;

/// Collects marks from all places.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    marks: Arc<Mutex<Marks>>,
}

impl Heard {
    /// Looks for marks in what arrived. One that may go on behind the last byte is not counted: another
    /// attack's mark may begin with it.
    pub(super) fn look(&self, place: &'static str, bytes: &[u8]) {
        // Names are written in any case.
        let bytes = bytes.to_ascii_lowercase();
        let begins = |at: &usize| bytes[*at..].starts_with(BEGINNING);
        for at in (0..bytes.len().saturating_sub(BEGINNING.len())).filter(begins) {
            let belongs = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
            if let Some(length) = bytes[at..].iter().position(|byte| !belongs(byte)) {
                let mark = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
                let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
                marks.entry(mark).or_default().insert(place);
            }
        }
    }

    /// Every mark so far.
    pub(super) fn marks(&self) -> Marks {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_whole_in_any_case_and_never_cut() {
        let heard = Heard::default();
        heard.look("far", b"GET /ABfield1x-T2-Http\r\nabfield1x-t2-label\x07example");
        heard.look("far", b"..abfield2x-t2-cut");
        heard.look("far", b"abfiel");
        heard.look("other", b"abfield1x-t2-http\n");
        let marks = heard.marks();
        assert_eq!(marks.keys().collect::<Vec<_>>(), ["abfield1x-t2-http", "abfield1x-t2-label"]);
        assert_eq!(marks["abfield1x-t2-http"], BTreeSet::from(["far", "other"]));
    }

    #[test]
    fn no_tag_begins_another() {
        assert!(!tag(11).starts_with(&tag(1)));
        assert!(agentbox_probe::mark(&tag(1), "t2.ping").as_bytes().starts_with(BEGINNING));
    }
}
