//! The ledger of a session: what was begun for it, written before it is begun.
//!
//! A file of JSON lines in the session's directory. It describes processes, control groups and sockets,
//! which end with the kernel just as the directory under /run does; so it is written through to the
//! kernel and not synced to a disk: a killed supervisor loses nothing of it.
//!
//! The lease comes before the directory: the high-water mark of leases is a ledger of its own. The
//! directory is its own record: one without a ledger belongs to a session of which nothing was begun.
//!
//! A ledger that cannot be understood is kept with its directory, its control group and its processes, and
//! reported by `Status` and `Diagnose`: who cannot read what was done must not undo it. Root can end such
//! a session by its id.

use crate::session::{Record, Step};
use agentbox_kernel::directory;
use agentbox_plan::SessionId;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

const NAME: &str = "ledger";
/// Most bytes that are read. A record with a thousand values has a tenth of it.
const MAX_BYTES: usize = 1 << 20;
/// Of the lines here. A supervisor does not guess about another's.
const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    /// The first one.
    Session { version: u32, record: Box<Record> },
    /// A step will be performed.
    Begun { step: Step },
    /// It was.
    Done { step: Step },
    /// It was reverted.
    Reverted { step: Step },
}

/// A ledger could not be written, or not be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Its file.
    #[error("ledger: {0}")]
    Directory(#[from] directory::DirectoryError),
    /// Its file.
    #[error("ledger: {0}")]
    Io(#[from] std::io::Error),
    /// Its content.
    #[error("ledger, line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// The ledger of a session that this supervisor drives.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Begins one.
    pub(crate) fn create(session: impl AsFd, record: &Record) -> Result<Self, LedgerError> {
        let mut ledger = Self { file: directory::open_append(session, NAME, 0o600)? };
        ledger.write(&Line::Session { version: VERSION, record: Box::new(record.clone()) })?;
        Ok(ledger)
    }

    /// Goes on with the one of a session that was re-adopted.
    pub(crate) fn reopen(session: impl AsFd) -> Result<Self, LedgerError> {
        Ok(Self { file: directory::open_append(session, NAME, 0o600)? })
    }

    /// A step will be performed. It must not be when this fails.
    pub(crate) fn begun(&mut self, step: Step) -> Result<(), LedgerError> {
        self.write(&Line::Begun { step })
    }

    /// A step was performed.
    pub(crate) fn done(&mut self, step: Step) -> Result<(), LedgerError> {
        self.write(&Line::Done { step })
    }

    /// A step was reverted.
    pub(crate) fn reverted(&mut self, step: Step) -> Result<(), LedgerError> {
        self.write(&Line::Reverted { step })
    }

    fn write(&mut self, line: &Line) -> Result<(), LedgerError> {
        let mut bytes = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        bytes.push(b'\n');
        // One write(2) of an O_APPEND file: a kill leaves the whole line or none of it.
        Ok(self.file.write_all(&bytes)?)
    }
}

/// What a ledger says.
#[derive(Debug)]
pub(crate) struct Account {
    /// The session.
    pub(crate) record: Record,
    /// Steps that were begun and not reverted.
    pub(crate) begun: Vec<Step>,
}

/// Reads the ledger of a session's directory; `None` when there is none or nothing is in it.
pub(crate) fn read(session: impl AsFd, id: &SessionId) -> Result<Option<Account>, LedgerError> {
    let account = match directory::read_file(session, NAME, MAX_BYTES)? {
        Some(bytes) => parse(&bytes)?,
        None => None,
    };
    match account {
        Some(account) if account.record.id != *id => {
            Err(LedgerError::Line { line: 1, what: "of another session".to_owned() })
        }
        account => Ok(account),
    }
}

/// Steps are begun in their order, each when the one before is done, and then only reverted: a line that was taken out
/// or put elsewhere leaves one out of place. Only of a step that failed, and whose revert failed too, nothing follows.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Account>, LedgerError> {
    let mut account: Option<Account> = None;
    // It is made in the middle of this step, which it therefore does not say was begun.
    let (mut in_hand, mut last) = (Some(Step::Directory), Step::Directory);
    // What stands behind the last newline was never followed by its step.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for (number, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let wrong = |what: String| LedgerError::Line { line: number + 1, what };
        let line: Line = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        match (line, &mut account) {
            (Line::Session { version: VERSION, record }, None) => {
                account = Some(Account { record: *record, begun: Vec::new() });
            }
            (Line::Session { version, .. }, None) => {
                return Err(wrong(format!("written by another version of agentboxd ({version})")));
            }
            (Line::Begun { step }, Some(account)) if in_hand.is_none() && follows(last, step) => {
                account.begun.push(step);
                (in_hand, last) = (Some(step), step);
            }
            (Line::Done { step }, Some(_)) if in_hand == Some(step) => in_hand = None,
            (Line::Reverted { step }, Some(account))
                // What goes with the directory is not written any more, but what is reverted when it could not go.
                if step == Step::Lease || account.begun.contains(&step) =>
            {
                account.begun.retain(|begun| *begun != step);
                // Nothing is begun any more.
                (in_hand, last) = (None, Step::Release);
            }
            (_, _) => return Err(wrong("out of place".to_owned())),
        }
    }
    Ok(account)
}

fn follows(last: Step, step: Step) -> bool {
    Step::ALL.windows(2).any(|pair| pair == [last, step])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn open(dir: &TempDir) -> File {
        File::open(dir.path()).unwrap()
    }

    fn read(session: File) -> Result<Option<Account>, LedgerError> {
        super::read(session, &"abc".parse().unwrap())
    }

    #[test]
    fn what_was_begun_and_not_reverted_is_read_back() {
        let dir = TempDir::new().unwrap();
        let record = Record::unknown("abc".parse().unwrap());
        let mut ledger = Ledger::create(open(&dir), &record).unwrap();
        for step in [Step::Project, Step::Group] {
            ledger.done(Step::ALL[step as usize - 1]).unwrap();
            ledger.begun(step).unwrap();
        }
        let account = read(open(&dir)).unwrap().unwrap();
        assert_eq!(account.record, record);
        assert_eq!(account.begun, [Step::Project, Step::Group]);
        ledger.reverted(Step::Group).unwrap();
        assert_eq!(read(open(&dir)).unwrap().unwrap().begun, [Step::Project]);
    }

    /// The lines of a session that began so many steps, and of whose steps these were then reverted; and what is begun
    /// and not reverted.
    fn lines(begun: usize, reverted: Option<&[bool]>) -> (Vec<Vec<u8>>, Vec<Step>) {
        let record = Box::new(Record::unknown("abc".parse().unwrap()));
        let mut all = vec![Line::Session { version: VERSION, record }];
        let mut left = Vec::new();
        for at in 2..begun {
            all.push(Line::Done { step: Step::ALL[at - 1] });
            all.push(Line::Begun { step: Step::ALL[at] });
            left.push(Step::ALL[at]);
        }
        let steps = Step::ALL[..begun].iter().rev().zip(reverted.unwrap_or_default());
        for (step, _) in steps.filter(|(step, is)| **is && **step != Step::Directory) {
            all.push(Line::Reverted { step: *step });
            left.retain(|left| left != step);
        }
        let line = |line: &Line| [&serde_json::to_vec(line).unwrap()[..], b"\n"].concat();
        (all.iter().map(line).collect(), left)
    }

    /// Whether it is refused, or nothing that was begun is missing.
    fn nothing_is_missing(lines: &[Vec<u8>], begun: &[Step]) -> bool {
        match parse(&lines.concat()) {
            Ok(account) => {
                account.is_some_and(|account| begun.iter().all(|step| account.begun.contains(step)))
            }
            Err(error) => matches!(error, LedgerError::Line { line, .. } if line <= lines.len() + 1),
        }
    }

    proptest! {
        #[test]
        fn no_changed_ledger_says_that_less_was_begun(
            begun in 2_usize..=9,
            reverted in proptest::option::of(proptest::collection::vec(any::<bool>(), 9)),
            at in any::<proptest::sample::Index>(),
            other in any::<proptest::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let (whole, left) = lines(begun, reverted.as_deref());
            prop_assert_eq!(parse(&whole.concat()).unwrap().unwrap().begun, left.clone());
            let (at, other) = (at.index(whole.len()), other.index(whole.len()));
            // What is cut off at the end was never there.
            if at + 1 < whole.len() {
                let failed = at + 1 == 2 * begun - 3 && left.last() == Some(&Step::ALL[begun - 1]);
                if !failed {
                    let mut removed = whole.clone();
                    removed.remove(at);
                    prop_assert!(nothing_is_missing(&removed, &left), "without line {}", at + 1);
                }
                let mut changed = whole.clone();
                let byte = other % changed[at].len();
                changed[at][byte] ^= 1 << bit;
                prop_assert!(nothing_is_missing(&changed, &left), "bit {bit} of byte {byte} of line {}", at + 1);
            }
            let mut swapped = whole.clone();
            swapped.swap(at, other);
            prop_assert!(nothing_is_missing(&swapped, &left), "lines {} and {} swapped", at + 1, other + 1);
            let mut twice = whole.clone();
            twice.insert(other, whole[at].clone());
            prop_assert!(nothing_is_missing(&twice, &left), "line {} again as {}", at + 1, other + 1);
        }
    }

    #[test]
    fn the_ledger_of_another_session_is_not_this_ones() {
        let dir = TempDir::new().unwrap();
        Ledger::create(open(&dir), &Record::unknown("abc".parse().unwrap())).unwrap();
        assert!(super::read(open(&dir), &"abd".parse().unwrap()).is_err());
    }

    #[test]
    fn no_ledger_and_half_a_first_line_mean_that_nothing_was_begun() {
        let dir = TempDir::new().unwrap();
        assert!(read(open(&dir)).unwrap().is_none());
        assert!(parse(b"{\"line\":\"sess").unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_with_its_line() {
        let dir = TempDir::new().unwrap();
        Ledger::create(open(&dir), &Record::unknown("abc".parse().unwrap())).unwrap();
        let first = std::fs::read(dir.path().join(NAME)).unwrap();
        let newer = String::from_utf8(first.clone()).unwrap().replace("\"version\":1", "\"version\":2");
        for (bytes, line) in [
            ([first.as_slice(), b"{\"line\":\"begun\",\"step\":\"dance\"}\n"].concat(), 2),
            ([first.as_slice(), first.as_slice()].concat(), 2),
            ([first.as_slice(), b"\xff\n"].concat(), 2),
            ([first.as_slice(), b"{\"line\":\"begun\",\"step\":\"group\"}\n"].concat(), 2),
            (b"{\"line\":\"begun\",\"step\":\"group\"}\n".to_vec(), 1),
            (newer.into_bytes(), 1),
        ] {
            match parse(&bytes) {
                Err(LedgerError::Line { line: found, .. }) => assert_eq!(found, line),
                other => panic!("{other:?}"),
            }
        }
    }
}
