//! What an attack reports, and how it comes to that.

use crate::errno::Errno;
use agentbox_probe::Outcome;

/// What an attack reports: its outcome, what it saw, and what it left for the host to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub outcome: Outcome,
    pub detail: String,
    pub left: Vec<String>,
}

pub(crate) fn succeeded(detail: impl Into<String>) -> Answer {
    Answer { outcome: Outcome::Succeeded, detail: detail.into(), left: Vec::new() }
}

pub(crate) fn refused(detail: impl ToString) -> Answer {
    Answer { outcome: Outcome::Refused, detail: detail.to_string(), left: Vec::new() }
}

pub(crate) fn lacking(fact: &str) -> Answer {
    Answer { outcome: Outcome::NotApplicable, detail: format!("no {fact} in the facts"), left: Vec::new() }
}

/// Succeeded when the call did.
pub(crate) fn judge<T>(result: Result<T, Errno>) -> Answer {
    match result {
        Ok(_) => succeeded("done"),
        Err(error) => refused(error),
    }
}

/// Succeeded when the call did, or when the kernel got as far as to judge its arguments, which are made
/// so that nothing changes: no rule stood in the way.
pub(crate) fn reached(result: Result<i64, Errno>) -> Answer {
    match result {
        Ok(_) => succeeded("done"),
        Err(error) if error.is_refusal() => refused(error),
        Err(error) => succeeded(format!("no rule refused it: {error}")),
    }
}

/// Tries several ways; succeeded when one of them did, with all that was seen.
pub(crate) fn any_of(tries: impl IntoIterator<Item = (String, Answer)>) -> Answer {
    let mut refusals: Vec<(String, usize)> = Vec::new();
    for (what, answer) in tries {
        match answer.outcome {
            Outcome::Succeeded => return succeeded(format!("{what}: {}", answer.detail)),
            Outcome::NotApplicable => {}
            Outcome::Refused => match refusals.iter_mut().find(|(detail, _)| *detail == answer.detail) {
                Some((_, count)) => *count += 1,
                None => refusals.push((answer.detail, 1)),
            },
        }
    }
    if refusals.is_empty() {
        return refused("nothing to try it on");
    }
    let seen: Vec<_> = refusals.iter().map(|(detail, count)| format!("{detail} ×{count}")).collect();
    refused(seen.join(", "))
}

/// What a child says.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(&(answer.outcome, &answer.detail, &answer.left)).unwrap_or_default()
}

/// What a child said.
pub(crate) fn decode(said: &[u8]) -> Answer {
    match serde_json::from_slice(said) {
        Ok((outcome, detail, left)) => Answer { outcome, detail, left },
        Err(_) => refused("the attack ended without an answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_that_works_is_enough() {
        let none = any_of([("a".to_owned(), refused("EPERM")), ("b".to_owned(), refused("EPERM"))]);
        assert_eq!(none, refused("EPERM ×2"));
        let one = any_of([("a".to_owned(), refused("EPERM")), ("b".to_owned(), succeeded("read"))]);
        assert_eq!(one.outcome, Outcome::Succeeded);
        assert_eq!(any_of([]).outcome, Outcome::Refused);
    }

    #[test]
    fn a_call_counts_as_reached_unless_a_rule_refused_it() {
        assert_eq!(reached(Err(Errno(libc::EPERM))).outcome, Outcome::Refused);
        assert_eq!(reached(Err(Errno(libc::ENOSYS))).outcome, Outcome::Refused);
        assert_eq!(reached(Err(Errno(libc::EFAULT))).outcome, Outcome::Succeeded);
        assert_eq!(reached(Ok(0)).outcome, Outcome::Succeeded);
    }
}
