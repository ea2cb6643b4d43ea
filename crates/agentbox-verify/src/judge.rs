//! What an answer from inside means.

use agentbox_probe::{Judged, Listing, Outcome, Promise, Record};

/// Of which posture the promises are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The host's files are seen, and the person's uid is kept.
    L1,
    /// Only what is listed is there, under a uid of its own.
    L2,
}

impl Level {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
        }
    }

    /// Whether it promises that this attack does not work.
    #[must_use]
    pub fn promises(self, listing: &Listing) -> bool {
        match listing.promise {
            Promise::L1 => true,
            Promise::L2 => self == Self::L2,
            Promise::None(_) => false,
        }
    }
}

/// What is wrong with an answer from inside. `on_host`: whether a path that it left, or the mark that it sent, is found
/// where it must not be.
pub fn fault(
    listing: &Listing,
    record: &Record,
    on_host: &dyn Fn(&str) -> bool,
    level: Level,
) -> Option<String> {
    let seen = || format!("{:?}: {}", record.outcome, record.detail);
    if record.detail.contains("no answer") || record.detail.contains("without an answer") {
        return Some(seen());
    }
    match (listing.judged, record.outcome) {
        (Judged::OnHost, _) => {
            let left = record.left.iter().find(|path| on_host(path));
            left.map(|path| format!("{path} on the host holds it"))
        }
        (Judged::Outcome, Outcome::Succeeded) => Some(seen()),
        // Tried outside means that there is something to try it on.
        (Judged::Outcome, Outcome::NotApplicable) => Some(seen()),
        // A file that must not exist tells nothing, not even that it may not be read.
        (Judged::Outcome, Outcome::Refused)
            if level == Level::L2 && listing.id == "t1.read-planted-key" && !only_absent(&record.detail) =>
        {
            Some(format!("not absent: {}", record.detail))
        }
        (Judged::Outcome, Outcome::Refused) => None,
    }
}

fn only_absent(detail: &str) -> bool {
    detail.split(", ").all(|part| part.starts_with("ENOENT"))
}

/// Outside there was nothing to attack, because the kernel lacks the part that the attack names.
#[must_use]
pub fn lacks_kernel(listing: &Listing, record: &Record) -> bool {
    const ABSENT: &[&str] = &[
        "ENOSYS",
        "ENOENT",
        "ENODEV",
        "ENXIO",
        "EAFNOSUPPORT",
        "EOPNOTSUPP",
        "EPROTONOSUPPORT",
        "ESOCKTNOSUPPORT",
        "EBADF",
        "nothing to try it on",
        "killed by signal 11",
    ];
    listing.kernel.is_some()
        && record.outcome == Outcome::Refused
        && record.detail.split(", ").all(|part| ABSENT.iter().any(|absent| part.starts_with(absent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_probe::Control;

    fn listing(judged: Judged) -> Listing {
        Listing {
            id: "t1.read-planted-key".to_owned(),
            threat: "T1".to_owned(),
            title: String::new(),
            needs: Vec::new(),
            control: Control::Person,
            promise: Promise::L1,
            judged,
            kernel: None,
        }
    }

    fn record(outcome: Outcome, detail: &str, left: &[&str]) -> Record {
        let left = left.iter().map(|path| (*path).to_owned()).collect();
        Record { id: String::new(), outcome, detail: detail.to_owned(), left }
    }

    #[test]
    fn an_answer_from_inside_is_a_fault_unless_it_was_refused() {
        let nowhere = |_: &str| false;
        let red =
            |record: &Record, level| fault(&listing(Judged::Outcome), record, &nowhere, level).is_some();
        assert!(red(&record(Outcome::Succeeded, "read", &[]), Level::L1));
        assert!(red(&record(Outcome::NotApplicable, "no fact", &[]), Level::L1));
        assert!(red(&record(Outcome::Refused, "no answer in time", &[]), Level::L1));
        assert!(!red(&record(Outcome::Refused, "EACCES ×3", &[]), Level::L1));
        assert!(red(&record(Outcome::Refused, "EACCES ×3", &[]), Level::L2));
        assert!(red(&record(Outcome::Refused, "ENOENT ×3, EACCES ×1", &[]), Level::L2));
        assert!(!red(&record(Outcome::Refused, "ENOENT ×4", &[]), Level::L2));
    }

    #[test]
    fn what_is_judged_on_the_host_is_a_fault_only_when_the_host_has_it() {
        let written = record(Outcome::Succeeded, "done", &["/home/a/.bashrc"]);
        let there = |path: &str| path == "/home/a/.bashrc";
        assert!(fault(&listing(Judged::OnHost), &written, &there, Level::L2).is_some());
        assert!(fault(&listing(Judged::OnHost), &written, &|_| false, Level::L2).is_none());
    }

    #[test]
    fn a_control_may_be_missing_only_with_its_part_of_the_kernel() {
        let mut named = listing(Judged::Outcome);
        let absent = record(Outcome::Refused, "ENOSYS", &[]);
        assert!(!lacks_kernel(&named, &absent));
        named.kernel = Some("kexec".to_owned());
        assert!(lacks_kernel(&named, &absent));
        assert!(!lacks_kernel(&named, &record(Outcome::Refused, "EPERM", &[])));
        assert!(!lacks_kernel(&named, &record(Outcome::Refused, "ENOSYS ×1, EPERM ×2", &[])));
    }
}
