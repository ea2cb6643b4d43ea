//! The task of the demonstration: read a file, repair it, run its test, say what came out.

use std::path::PathBuf;

/// What the file has and should have.
const WRONG: &str = "a - b";
const RIGHT: &str = "a + b";

/// A program with a bug.
#[derive(Debug)]
pub(in crate::demo) struct Task {
    /// The file with the bug.
    pub(crate) file: PathBuf,
    /// The command that tests it.
    pub(crate) test: String,
    /// What the test prints when the bug is gone.
    pub(crate) good: String,
}

/// What the agent is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Edit { wrong: &'static str, right: &'static str },
    Test,
    Say(&'static str),
}

impl Step {
    /// Names a call, so that its result can be told from others.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Edit { .. } => "edit",
            Self::Test => "test",
            Self::Say(_) => "say",
        }
    }
}

/// The result of a call.
#[derive(Debug)]
pub(super) struct Done {
    /// [`Step::name`] of it.
    pub(super) name: String,
    pub(super) output: String,
}

impl Task {
    /// What comes behind the last call.
    pub(super) fn next(&self, last: Option<&Done>) -> Step {
        let Some(Done { name, output }) = last else { return Step::Read };
        match name.as_str() {
            "read" if output.contains(WRONG) => Step::Edit { wrong: WRONG, right: RIGHT },
            "read" => Step::Say("The file has nothing to repair."),
            "edit" => Step::Test,
            "test" if output.contains(&self.good) => Step::Say("Repaired: the test passes."),
            _ => Step::Say("The test still fails."),
        }
    }
}

#[cfg(test)]
impl Task {
    pub(super) fn example() -> Self {
        Self { file: "/project/sum.c".into(), test: "make test".to_owned(), good: "is 4".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_follows_from_what_the_last_one_gave() {
        let task = Task::example();
        let next = |name: &str, output: &str| {
            task.next(Some(&Done { name: name.to_owned(), output: output.to_owned() }))
        };
        assert_eq!(task.next(None), Step::Read);
        assert!(matches!(next("read", "return a - b;"), Step::Edit { .. }));
        assert!(matches!(next("read", "return 1;"), Step::Say(_)));
        assert_eq!(next("edit", "done"), Step::Test);
        assert_eq!(next("test", "sum is 4"), Step::Say("Repaired: the test passes."));
        assert_eq!(next("test", "sum is 0"), Step::Say("The test still fails."));
    }
}
