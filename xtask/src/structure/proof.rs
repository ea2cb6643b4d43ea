//! Tables whose rows name what proves them: invariants, promises, known weaknesses, and what others' threat models say.

use super::Repository;
use super::document::is_attack;
use super::source::Sources;
use crate::suite::test_names;
use std::collections::BTreeSet;

const OVERVIEW: &str = "docs/ARCHITECTURE.md";
const SPECIFICATION: &str = "docs/SPECIFICATION.md";
const THREATS: &str = "docs/THREAT-MODEL.md";
const PRIOR: &str = "docs/PRIOR-MODELS.md";
/// Where the tests of whole programs are.
const SUITE: &str = "crates/agentbox-suite/tests/";

/// Head of the table of invariants: number, what holds, and the functions that check it.
const INVARIANTS: &str = "| # | invariant | check |";
/// Head of each table of promises.
const PROMISES: &str = "| # | promise | held by |";
/// Head of each table of known weaknesses: the tests are the last cell.
const WEAKNESSES: &str = "| weakness | what it was | what holds it here | test |";
/// Head of each table of sentences of others.
const SENTENCES: &str = "| they say | here | proof |";
/// How the head of the table of outcomes and attackers begins.
const OUTCOMES: &str = "| to | code inside a session |";
/// What a proof may be where there is none.
const NOT_PROMISED: &str = "not promised";
/// The same where it stands in place of every name.
const NOT_PROMISED_LINK: &str = "[not promised](THREAT-MODEL.md#not-promised)";

/// What the names of a table may be.
#[derive(Clone, Copy)]
enum Proof {
    /// Functions: tests, and checks that are none.
    Function,
    /// Tests.
    Test,
    /// Tests and attacks of the probe, or that it is not promised. Whether an attack exists, `named_attacks_exist` says.
    TestOrAttack,
}

/// Each row of the table of invariants names, in backticks, the functions that check it.
pub(super) fn every_invariant_names_its_check(repository: &Repository) -> Vec<String> {
    checked(&repository.sources, OVERVIEW, INVARIANTS, 1, Proof::Function)
}

/// Each row of the tables of known weaknesses names the tests that look for it.
pub(super) fn every_known_weakness_names_its_test(repository: &Repository) -> Vec<String> {
    checked(&repository.sources, THREATS, WEAKNESSES, 0, Proof::Test)
}

/// Each sentence of another threat model has an answer, and its tests and attacks exist.
pub(super) fn every_sentence_of_others_is_answered(repository: &Repository) -> Vec<String> {
    checked(&repository.sources, PRIOR, SENTENCES, 0, Proof::TestOrAttack)
}

/// Each promise has a number of its own and names tests, and each test of the suite stands behind a promise.
pub(super) fn every_promise_is_held_by_a_test_and_every_test_holds_one(
    repository: &Repository,
) -> Vec<String> {
    promises(&repository.sources)
}

/// Each attacker has an answer to each outcome: promises that exist, tests, or that it is not promised.
pub(super) fn every_outcome_is_answered_for_every_attacker(repository: &Repository) -> Vec<String> {
    outcomes(&repository.sources)
}

fn promises(sources: &Sources) -> Vec<String> {
    let mut problems = checked(sources, SPECIFICATION, PROMISES, 1, Proof::Test);
    let Some(file) = sources.get(SPECIFICATION) else { return problems };
    let mut numbers = BTreeSet::new();
    for number in numbers_of(&file.text) {
        if !numbers.insert(number) {
            problems.push(format!("{SPECIFICATION}: two promises are called {number}"));
        }
    }
    let suite = sources.rust().filter(|file| file.path.starts_with(SUITE));
    let names = suite.flat_map(|file| test_names(&file.code));
    let untold = names.filter(|name| !file.text.contains(&format!("`{name}`")));
    problems.extend(untold.map(|name| format!("{SPECIFICATION}: no promise is held by {name}")));
    problems
}

fn numbers_of(specification: &str) -> impl Iterator<Item = &str> {
    rows(specification, PROMISES).into_iter().map(|row| cells(row).first().copied().unwrap_or(""))
}

fn outcomes(sources: &Sources) -> Vec<String> {
    let (Some(threats), Some(specification)) = (sources.get(THREATS), sources.get(SPECIFICATION)) else {
        return vec![format!("{THREATS} or {SPECIFICATION} is missing")];
    };
    let Some(head) = threats.text.lines().find(|line| line.starts_with(OUTCOMES)) else {
        return vec![format!("{THREATS} has no table that begins with `{OUTCOMES}`")];
    };
    let (promised, attackers) = (numbers_of(&specification.text).collect::<BTreeSet<_>>(), cells(head));
    let names = Names::of(sources);
    let mut problems = Vec::new();
    for row in rows(&threats.text, head) {
        let cells = cells(row);
        if cells.len() != attackers.len() {
            problems.push(format!("{THREATS}: {} cells of {}: {row}", cells.len(), attackers.len()));
        }
        for (cell, attacker) in cells.iter().zip(&attackers).skip(1) {
            let quoted = quoted(cell);
            let (known, unknown): (Vec<_>, Vec<_>) =
                promise_numbers(cell).into_iter().partition(|number| promised.contains(number));
            let refers = cell.contains("the first column");
            if known.is_empty() && quoted.is_empty() && !cell.contains(NOT_PROMISED) && !refers {
                problems.push(format!("{THREATS}: without an answer: {attacker}: {}", cells[0]));
            }
            problems.extend(unknown.iter().map(|number| format!("{THREATS}: no promise is called {number}")));
            let missing = quoted.iter().filter(|name| !names.tests.contains(*name));
            problems.extend(missing.map(|name| format!("{THREATS}: no test is called {name}")));
        }
    }
    problems
}

/// Words that can be numbers of promises: a letter and digits. `L1` and `T1` are a posture and a threat.
fn promise_numbers(cell: &str) -> Vec<&str> {
    let words = cell.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let is_number = |word: &&str| {
        matches!(word.as_bytes(), [b'A'..=b'K' | b'M'..=b'S' | b'U'..=b'Z', digits @ ..]
            if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
    };
    words.filter(is_number).collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Rows of all tables with this head.
fn rows<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let mut rows = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == head) {
        rows.extend(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')));
    }
    rows
}

/// Rows of the tables with this head whose last cell names no proof, or one that does not exist. Column `name` says
/// what a row is about; no other cell is empty either.
fn checked(sources: &Sources, document: &str, head: &str, name: usize, proof: Proof) -> Vec<String> {
    let Some(file) = sources.get(document) else { return vec![format!("{document} is missing")] };
    let rows = rows(&file.text, head);
    if rows.is_empty() {
        return vec![format!("{document} has no table with the head `{head}`")];
    }
    let (columns, all) = (cells(head).len(), Names::of(sources));
    let mut problems = Vec::new();
    for row in rows {
        let cells = cells(row);
        let what = cells.get(name).copied().unwrap_or(row);
        let last = cells.get(columns - 1).copied().unwrap_or("");
        let names = quoted(last);
        let excused = matches!(proof, Proof::TestOrAttack) && last == NOT_PROMISED_LINK;
        if names.is_empty() && !excused || cells.len() != columns || cells.iter().any(|cell| cell.is_empty())
        {
            problems.push(format!("{document}: without a check, or with an empty cell: {what}"));
        }
        let missing = names.iter().filter(|name| match proof {
            Proof::Function => !all.functions.contains(*name),
            Proof::Test => !all.tests.contains(*name),
            Proof::TestOrAttack => !is_attack(name) && !all.tests.contains(*name),
        });
        problems.extend(missing.map(|name| format!("{document}: {name} does not exist: {what}")));
    }
    problems
}

/// Functions and tests of all crates.
struct Names<'a> {
    functions: BTreeSet<&'a str>,
    tests: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(sources: &'a Sources) -> Self {
        let mut names = Self { functions: BTreeSet::new(), tests: BTreeSet::new() };
        for file in sources.rust() {
            let mut is_test = false;
            for line in file.code.lines().map(str::trim) {
                // Between the attribute and its function are others, and what was a comment.
                if line.is_empty() || line.starts_with("#[") {
                    is_test |=
                        line == "#[test]" || line == "#[tokio::test]" || line.starts_with("#[tokio::test(");
                    continue;
                }
                if let Some(name) = defined(line) {
                    names.functions.insert(name);
                    names.tests.extend(is_test.then_some(name));
                }
                is_test = false;
            }
        }
        names
    }
}

/// The function that a line defines. A macro of tests may take names without `fn`; only real functions count.
fn defined(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let end = rest.find(['(', '<'])?;
    (before.is_empty() || before.ends_with(' ')).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        let source = |(path, text): &(&str, &str)| Source::new(path.to_string(), text.to_string());
        Sources { files: files.iter().map(source).collect() }
    }

    #[test]
    fn promises_and_tests_are_compared_both_ways() {
        let row = |number: &str, test: &str| format!("| {number} | it holds | `{test}` |\n");
        let table = |rows: &str| format!("# A\n\n{PROMISES}\n|---|---|---|\n{rows}\nText.\n");
        let found = |text: &str| {
            let code = "#[test]\nfn one() {}\n#[test]\nfn two() -> Result<()> {}\nfn no_test() {}";
            promises(&sources(&[("crates/agentbox-suite/tests/a.rs", code), (SPECIFICATION, text)])).len()
        };
        assert_eq!(found(&[table(&row("A1", "one")), table(&row("B1", "two"))].concat()), 0);
        assert_eq!(found(&table(&row("A1", "one"))), 1, "a test that no promise names");
        assert_eq!(found(&table(&[row("A1", "one"), row("A1", "two")].concat())), 1, "a number given twice");
        let with =
            |third: &str| found(&table(&[row("A1", "one"), row("A2", "two"), row("A3", third)].concat()));
        assert_eq!((with("none"), with("no_test")), (1, 1));
        assert_eq!(found("# A\n"), 3);
    }

    #[test]
    fn an_invariant_without_a_real_check_is_found() {
        let table = |cell: &str| format!("{INVARIANTS}\n|---|---|---|\n| 1 | it holds | {cell} |\n");
        let code = "fn it_holds() {}\n// fn in_a_comment() {}";
        let checked = |text: &str| {
            let sources = sources(&[("crates/a/src/lib.rs", code), (OVERVIEW, text)]);
            checked(&sources, OVERVIEW, INVARIANTS, 1, Proof::Function).len()
        };
        let problems = |cell: &str| checked(&table(cell));
        assert_eq!(problems("`it_holds`"), 0);
        for bad in ["", "by review", "`it_hold`", "`it_holds`, `in_a_comment`"] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
        assert_eq!(checked("no table"), 1);
        assert_eq!(checked(&table("`it_holds`").replace("it holds |", "|")), 1);
    }

    #[test]
    fn a_sentence_that_nothing_proves_is_found() {
        let code = "#[test]\nfn plain() {}\nproptest! {\n    #[test]\n    #[ignore]\n    fn inside(x in y) {}\n    fn no_test() {}\n}";
        let problems = |cell: &str| {
            let text = format!("{SENTENCES}\n|---|---|---|\n| it leaks | it does not | {cell} |\n");
            let sources = sources(&[("crates/a/src/lib.rs", code), (PRIOR, &text)]);
            checked(&sources, PRIOR, SENTENCES, 0, Proof::TestOrAttack)
        };
        for good in ["`plain`", "`inside` `t1.read`", NOT_PROMISED_LINK] {
            assert!(problems(good).is_empty(), "{good}: {:?}", problems(good));
        }
        for bad in ["", "trust us", "not promised", "`no_test`", "`plain` `none`", "`plain` | `plain`"] {
            assert_eq!(problems(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn an_attacker_without_an_answer_is_found() {
        let specification = format!("{PROMISES}\n|---|---|---|\n| A1 | it holds | `one` |\n");
        let problems = |cell: &str| {
            let threats = format!("{OUTCOMES} a server |\n|---|---|---|\n| read | held. A1 | {cell} |\n");
            let code = "#[test]\nfn one() {}";
            outcomes(&sources(&[("a.rs", code), (SPECIFICATION, &specification), (THREATS, &threats)]))
        };
        for good in ["L1: A1", "`one`", "on Tuesdays: not promised", "the first column"] {
            assert!(problems(good).is_empty(), "{good}: {:?}", problems(good));
        }
        for bad in ["", "held at L2", "A1 A2", "`two`", "A1 | A1"] {
            assert_eq!(problems(bad).len(), 1, "{bad}: {:?}", problems(bad));
        }
        assert_eq!(outcomes(&sources(&[(SPECIFICATION, &specification), (THREATS, "# A")])).len(), 1);
    }
}
