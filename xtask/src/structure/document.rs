//! What the documents say about the code: the diagram, the invariants, the links.

use super::Repository;
use super::source::{Source, Sources};
use crate::suite::test_names;
use std::collections::BTreeSet;

const OVERVIEW: &str = "docs/ARCHITECTURE.md";
/// First line of the fenced block with the diagram of crates.
const DIAGRAM: &str = "```text edges";
const SPECIFICATION: &str = "docs/SPECIFICATION.md";
/// Head of each table of promises.
const PROMISES: &str = "| # | promise | held by |";
/// Where the tests of whole programs are.
const SUITE: &str = "crates/agentbox-suite/tests/";
const THREATS: &str = "docs/THREAT-MODEL.md";
/// Head of the table of invariants: number, what holds, and the functions that check it.
const INVARIANTS: &str = "| # | invariant | check |";
/// Head of the table of known weaknesses: the tests are the last cell.
const WEAKNESSES: &str = "| weakness | what it was | what holds it here | test |";

/// Edges of the diagram: lines of the form `crate -> crate, crate`, or `crate -> nothing`.
pub(super) fn diagram(sources: &Sources) -> Result<BTreeSet<(String, String)>, String> {
    let text = &sources.get(OVERVIEW).ok_or_else(|| format!("{OVERVIEW} is missing"))?.text;
    let mut lines = text.lines().skip_while(|line| *line != DIAGRAM).skip(1).peekable();
    if lines.peek().is_none() {
        return Err(format!("{OVERVIEW} has no block that begins with `{DIAGRAM}`"));
    }
    let mut edges = BTreeSet::new();
    for line in lines.take_while(|line| !line.starts_with("```")) {
        let Some((from, to)) = line.split_once("->") else {
            return Err(format!("{OVERVIEW}: not an edge: {line}"));
        };
        let to = to.split(',').map(str::trim).filter(|to| !to.is_empty() && *to != "nothing");
        edges.extend(to.map(|to| (from.trim().to_owned(), to.to_owned())));
    }
    Ok(edges)
}

/// Each row of the table of invariants names, in backticks, the functions that check it.
pub(super) fn every_invariant_names_its_check(repository: &Repository) -> Vec<String> {
    checked(&repository.sources, OVERVIEW, INVARIANTS, 1)
}

/// Each row of the table of known weaknesses names the tests that look for it.
pub(super) fn every_known_weakness_names_its_test(repository: &Repository) -> Vec<String> {
    checked(&repository.sources, THREATS, WEAKNESSES, 0)
}

/// Each promise has a number of its own and names tests, and each test of the suite stands behind a promise.
pub(super) fn every_promise_is_held_by_a_test_and_every_test_holds_one(
    repository: &Repository,
) -> Vec<String> {
    promises(&repository.sources)
}

fn promises(sources: &Sources) -> Vec<String> {
    let mut problems = checked(sources, SPECIFICATION, PROMISES, 1);
    let Some(file) = sources.get(SPECIFICATION) else { return problems };
    let mut numbers = BTreeSet::new();
    for row in rows(&file.text, PROMISES) {
        let number = row.trim_matches('|').split('|').next().unwrap_or("").trim();
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

/// Rows of all tables with this head.
fn rows<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let mut rows = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == head) {
        rows.extend(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')));
    }
    rows
}

/// Rows of the tables with this head whose last cell names no function, or one that does not exist. Column `name` says
/// what a row is about; no other cell is empty either.
fn checked(sources: &Sources, document: &str, head: &str, name: usize) -> Vec<String> {
    let Some(file) = sources.get(document) else { return vec![format!("{document} is missing")] };
    let rows = rows(&file.text, head);
    if rows.is_empty() {
        return vec![format!("{document} has no table with the head `{head}`")];
    }
    let columns = head.trim_matches('|').split('|').count();
    let mut problems = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let what = cells.get(name).copied().unwrap_or(row);
        let last = cells.get(columns - 1).copied().unwrap_or("");
        let checks: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if checks.is_empty() || cells.iter().any(|cell| cell.is_empty()) {
            problems.push(format!("{document}: without a check, or with an empty cell: {what}"));
        }
        let missing = checks.iter().filter(|check| !is_function(sources, check));
        problems.extend(missing.map(|check| format!("{document}: no function is called {check}: {what}")));
    }
    problems
}

fn is_function(sources: &Sources, name: &str) -> bool {
    sources.rust().any(|file| {
        let mut rest = file.code.as_str();
        // A macro of tests may take names without `fn`; only real functions count as checks.
        while let Some((_, behind)) = rest.split_once("fn ") {
            if behind.strip_prefix(name).is_some_and(|tail| tail.starts_with(['(', '<'])) {
                return true;
            }
            rest = behind;
        }
        false
    })
}

pub(super) fn links_resolve(repository: &Repository) -> Vec<String> {
    let root = crate::workspace::root();
    let documents = repository.sources.files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| broken(file, |path| root.join(path).exists())).collect()
}

/// Links of a Markdown file to files that are not there.
fn broken(file: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
    for (at, line) in outside_fences(&file.text) {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or("");
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = if directory.is_empty() { target.to_owned() } else { format!("{directory}/{target}") };
            if !exists(&path) {
                problems.push(format!("{}:{at}: no file {target}", file.path));
            }
        }
    }
    problems
}

/// Attacks that a document names are attacks of the probe.
pub(super) fn named_attacks_exist(repository: &Repository) -> Vec<String> {
    unknown_attacks(&repository.sources)
}

fn unknown_attacks(sources: &Sources) -> Vec<String> {
    let probe: Vec<&Source> =
        sources.rust().filter(|file| file.path.starts_with("crates/agentbox-probe/")).collect();
    let mut problems = Vec::new();
    for file in sources.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (at, line) in outside_fences(&file.text) {
            let named = line.split('`').skip(1).step_by(2).filter(|word| is_attack(word));
            for name in named {
                let quoted = format!("\"{name}\"");
                if !probe.iter().any(|source| source.text.contains(&quoted)) {
                    problems.push(format!("{}:{at}: the probe knows no attack {name}", file.path));
                }
            }
        }
    }
    problems
}

/// `t1.` to `t8.` and a name.
fn is_attack(word: &str) -> bool {
    matches!(word.as_bytes(), [b't', b'1'..=b'8', b'.', rest @ ..] if !rest.is_empty())
        && word[3..].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!fence && !inside).then_some((at + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(overview: &str, code: &str) -> Sources {
        let file = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
        Sources { files: vec![file("crates/a/src/lib.rs", code), file(OVERVIEW, overview)] }
    }

    #[test]
    fn the_diagram_is_read() {
        let text = "# A\n```text edges\na    -> b, c\nb    -> nothing\n```\nx -> y\n";
        let edges = diagram(&sources(text, "")).unwrap();
        let names: Vec<String> = edges.iter().map(|(from, to)| format!("{from} {to}")).collect();
        assert_eq!(names, ["a b", "a c"]);
        assert!(diagram(&sources("# A\n", "")).is_err());
        assert!(diagram(&sources("```text edges\na depends on b\n```", "")).is_err());
    }

    #[test]
    fn promises_and_tests_are_compared_both_ways() {
        let row = |number: &str, test: &str| format!("| {number} | it holds | `{test}` |\n");
        let table = |rows: &str| format!("# A\n\n{PROMISES}\n|---|---|---|\n{rows}\nText.\n");
        let found = |text: &str| {
            let file = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
            let code = "#[test]\nfn one() {}\n#[test]\nfn two() -> Result<()> {}\nfn no_test() {}";
            let files = vec![file("crates/agentbox-suite/tests/a.rs", code), file(SPECIFICATION, text)];
            promises(&Sources { files }).len()
        };
        assert_eq!(found(&[table(&row("A1", "one")), table(&row("B1", "two"))].concat()), 0);
        assert_eq!(found(&table(&row("A1", "one"))), 1, "a test that no promise names");
        assert_eq!(found(&table(&[row("A1", "one"), row("A1", "two")].concat())), 1, "a number given twice");
        assert_eq!(found(&table(&[row("A1", "one"), row("A2", "two"), row("A3", "none")].concat())), 1);
        assert_eq!(found("# A\n"), 3);
    }

    #[test]
    fn an_invariant_without_a_real_check_is_found() {
        let table = |cell: &str| format!("{INVARIANTS}\n|---|---|---|\n| 1 | it holds | {cell} |\n");
        let code = "fn it_holds() {}\n// fn in_a_comment() {}";
        let checked = |text: &str| checked(&sources(text, code), OVERVIEW, INVARIANTS, 1).len();
        let problems = |cell: &str| checked(&table(cell));
        assert_eq!(problems("`it_holds`"), 0);
        for bad in ["", "by review", "`it_hold`", "`it_holds`, `in_a_comment`"] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
        assert_eq!(checked("no table"), 1);
        assert_eq!(checked(&table("`it_holds`").replace("it holds |", "|")), 1);
    }

    #[test]
    fn an_attack_that_nobody_wrote_is_found() {
        let file = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
        let document = file("docs/x.md", "`t1.real` `t1.unreal` `t9.other` `t1.rs`\n");
        let probe = file("crates/agentbox-probe/src/a.rs", "new(\"t1.real\"), new(\"t1.rs\")");
        let problems = unknown_attacks(&Sources { files: vec![probe, document] });
        assert_eq!(problems, ["docs/x.md:1: the probe knows no attack t1.unreal"]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let text = "[a](b.md) [c](#d) [e](https://x/y) [f](b.md#g)\n```\n[h](i.md)\n```\n[j](k.md)\n";
        let file = Source::new("docs/x.md".to_owned(), text.to_owned());
        assert_eq!(broken(&file, |path| path == "docs/b.md"), ["docs/x.md:5: no file k.md"]);
    }
}
