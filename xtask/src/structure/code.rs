//! Rules about Rust files: unsafe, processes, sizes, words.

use super::Repository;
use super::source::{Source, has_word};
use crate::fuzz::parsers::PARSERS;

/// Crates whose `sys.rs` may use `unsafe`.
const UNSAFE_CRATES: &[&str] = &["agentbox-kernel", "agentbox-launch", "agentbox-probe", "xtask"];

/// Where processes may be started or netlink be spoken. The launcher executes the agent; the probe
/// and the suite attack. agentboxctl starts the embedded supervisor, asks git who commits, and reads
/// the person's files in a child that has the person's rights; what verifies types `agentboxctl` and attacks.
const STARTERS: &[&str] = &[
    "crates/agentbox-kernel/",
    "crates/agentbox-launch/",
    "crates/agentbox-probe/",
    "crates/agentbox-suite/",
    "crates/agentbox-verify/",
    "crates/agentboxctl/src/child.rs",
    "crates/agentboxctl/src/commands/verify.rs",
    "crates/agentboxctl/src/embedded.rs",
    "crates/agentboxctl/src/git.rs",
    "crates/agentboxctl/src/own_files.rs",
    "crates/agentboxctl/src/review/owner.rs",
    "crates/agentboxctl/src/review/repository.rs",
    "crates/agentboxctl/src/ssh.rs",
    "xtask/",
];

const MOST_LINES: usize = 800;
const MOST_LINES_OF_MAIN: usize = 50;

/// Words that put off what should be done; written so that this file does not hold them.
const LATER: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!"), concat!("todo", "!")];

pub(super) fn unsafe_is_in_sys_files(repository: &Repository) -> Vec<String> {
    repository.sources.rust().filter_map(misplaced_unsafe).collect()
}

fn misplaced_unsafe(file: &Source) -> Option<String> {
    if !has_word(&file.code, "unsafe") {
        return None;
    }
    let name = file.path.strip_prefix("crates/").unwrap_or(&file.path).split('/').next().unwrap_or("");
    let allowed = UNSAFE_CRATES.contains(&name) && file.path.ends_with("/sys.rs");
    let line = file.code.lines().position(|line| has_word(line, "unsafe")).map_or(1, |line| line + 1);
    (!allowed)
        .then(|| format!("{}:{line}: unsafe outside a file named sys.rs of {UNSAFE_CRATES:?}", file.path))
}

pub(super) fn only_kernel_starts_processes(repository: &Repository) -> Vec<String> {
    repository.sources.rust().filter_map(misplaced_start).collect()
}

fn misplaced_start(file: &Source) -> Option<String> {
    let is_test = file.path.split('/').any(|part| part == "tests");
    // It runs a compiler where the programs are built, and nothing where they run.
    let is_build = file.path.ends_with("/build.rs");
    if is_test || is_build || STARTERS.iter().any(|allowed| file.path.starts_with(allowed)) {
        return None;
    }
    let code = file.code_without_tests();
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join("");
    let imported = flat
        .split("process::{")
        .skip(1)
        .any(|list| list.split('}').next().is_some_and(|list| list.split(',').any(|name| name == "Command")));
    let starts = imported || flat.contains("process::Command") || flat.contains("::fork(");
    let netlink = flat.to_ascii_lowercase().contains("netlink");
    (starts || netlink).then(|| {
        let what = if starts { "starts processes" } else { "speaks netlink" };
        format!("{}: {what}; only agentbox-kernel does", file.path)
    })
}

pub(super) fn files_are_short(repository: &Repository) -> Vec<String> {
    let mut problems: Vec<String> = repository.sources.rust().filter_map(too_long).collect();
    let overview = "docs/ARCHITECTURE.md";
    let lines = repository.sources.get(overview).map_or(0, |file| file.text.lines().count());
    if lines > 200 {
        problems.push(format!("{overview}: {lines} lines, more than 200"));
    }
    problems
}

fn too_long(file: &Source) -> Option<String> {
    let lines = file.text.lines().count();
    let most = if file.path.ends_with("/src/main.rs") { MOST_LINES_OF_MAIN } else { MOST_LINES };
    (lines > most).then(|| format!("{}: {lines} lines, more than {most}", file.path))
}

pub(super) fn nothing_is_left_for_later(repository: &Repository) -> Vec<String> {
    repository.sources.files.iter().flat_map(put_off).collect()
}

fn put_off(file: &Source) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(at, line)| {
            let word = LATER
                .iter()
                .find(|word| has_word(line, word.trim_end_matches('!')) && line.contains(**word))?;
            Some(format!("{}:{}: {word}", file.path, at + 1))
        })
        .collect()
}

/// Each step of the launcher that a testing build can leave out is in the list of the test that does.
pub(super) fn every_step_is_left_out_once(repository: &Repository) -> Vec<String> {
    const TEST: &str = "crates/agentbox-suite/tests/mutation.rs";
    // A looker is no part of a session's start: its own tests leave its steps out.
    const LOOKS: &str = "crates/agentbox-suite/tests/direct_watch.rs";
    let text = |path: &str| repository.sources.get(path).map_or("", |file| &file.text);
    let (test, looks) = (text(TEST), text(LOOKS));
    // The steps of gates are those of the tests of the network and of keys.
    let launcher = repository.sources.rust().filter(|file| {
        let is_gates = file.path.ends_with("/gate.rs") || file.path.ends_with("/keys.rs");
        file.path.starts_with("crates/agentbox-launch/src/") && !is_gates
    });
    let steps: Vec<(&Source, &str)> =
        launcher.flat_map(|file| steps_of(&file.text).into_iter().map(move |step| (file, step))).collect();
    let unnamed = steps.iter().filter(|(_, step)| {
        !test.contains(&format!("(\"{step}\",")) && !looks.contains(&format!("\"{step}\")"))
    });
    let mut problems: Vec<String> =
        unnamed.map(|(file, step)| format!("{}: {step} is not left out in {TEST}", file.path)).collect();
    if steps.is_empty() {
        problems.push("no step was found".to_owned());
    }
    // Checks of the supervisor, of the gate and of what they share are left out by whichever test of the suite has them.
    let tests =
        || repository.sources.rust().filter(|file| file.path.starts_with("crates/agentbox-suite/tests/"));
    let others = ["agentboxd", "agentbox-gate", "agentbox-kernel"].map(|name| format!("crates/{name}/src/"));
    for file in
        repository.sources.rust().filter(|file| others.iter().any(|place| file.path.starts_with(place)))
    {
        let steps = file.text.split("in_force(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let unnamed = steps.filter(|step| !tests().any(|test| test.text.contains(&format!("\"{step}\""))));
        problems.extend(unnamed.map(|step| format!("{}: no test of the suite leaves {step} out", file.path)));
    }
    problems
}

/// Each file that reads what others wrote is in the list of `fuzz`, with what throws bytes at it; and each target is
/// there for one.
pub(super) fn every_parser_is_thrown_at(repository: &Repository) -> Vec<String> {
    let sources = &repository.sources;
    let parsers = PARSERS.iter().map(|(place, target)| (format!("crates/{place}"), target));
    let parsers: Vec<_> = parsers.collect();
    let readers = sources.rust().filter(|file| {
        let is_ours = !file.path.contains("agentbox-suite/") && !file.path.contains("agentbox-probe/");
        is_ours
            && file.path.starts_with("crates/")
            && file.path.contains("/src/")
            && reads(file.code_without_tests())
    });
    let unlisted = readers.filter(|file| !parsers.iter().any(|(place, _)| file.path.starts_with(place)));
    let mut problems: Vec<String> =
        unlisted.map(|file| format!("{}: a parser that {LIST} does not name", file.path)).collect();
    let target = |name: &str| format!("fuzz/targets/{name}.rs");
    for (place, name) in &parsers {
        if !sources.files.iter().any(|file| file.path.starts_with(place)) {
            problems.push(format!("{LIST}: there is no {place}"));
        }
        if sources.get(&target(name)).is_none() {
            problems.push(format!("{LIST}: {place} is held by {name}, which is not there"));
        }
    }
    let idle = sources.rust().filter_map(|file| {
        let name = file.path.strip_prefix("fuzz/targets/")?.strip_suffix(".rs")?;
        let named = parsers.iter().any(|(_, target)| **target == name);
        (!named).then(|| format!("{}: {LIST} names nothing that it reads", file.path))
    });
    problems.extend(idle);
    problems
}

const LIST: &str = "xtask/src/fuzz/parsers.rs";

fn reads(text: &str) -> bool {
    let words = ["fn parse(", "fn parse_", "fn from_str(", "fn from_bytes(", "json::from_slice("];
    words.iter().any(|word| text.contains(word))
}

/// Names of steps in a file: what `in_force` and `flag` are asked, and namespaces, which come as pairs with their flag.
fn steps_of(text: &str) -> Vec<&str> {
    ["in_force(\"", "flag(\"", "(\"namespace-"]
        .iter()
        .flat_map(|before| {
            let skip = if before.ends_with('-') { 2 } else { before.len() };
            text.match_indices(before).filter_map(move |(at, _)| text[at + skip..].split('"').next())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_however_they_are_asked_for() {
        let text = "if in_force(\"uid\") {} flag(\"mount-nodev\", 1); for x in [(\"namespace-ipc\", 2)] {}";
        assert_eq!(steps_of(text), ["uid", "mount-nodev", "namespace-ipc"]);
    }

    fn file(path: &str, text: &str) -> Source {
        Source::new(path.to_owned(), text.to_owned())
    }

    #[test]
    fn unsafe_elsewhere_is_found() {
        assert!(misplaced_unsafe(&file("crates/agentbox-kernel/src/sys.rs", "unsafe {}")).is_none());
        assert!(misplaced_unsafe(&file("crates/agentbox-kernel/src/cgroup.rs", "// unsafe")).is_none());
        for bad in ["crates/agentbox-kernel/src/cgroup.rs", "crates/agentboxd/src/sys.rs"] {
            assert!(misplaced_unsafe(&file(bad, "unsafe {}")).is_some(), "{bad}");
        }
    }

    #[test]
    fn processes_started_elsewhere_are_found() {
        for bad in [
            "use std::process::Command;",
            "use std::process::{\n    Command,\n    Stdio,\n};",
            "tokio::process::Command::new(x)",
            "let socket = socket(AddressFamily::NETLINK);",
        ] {
            assert!(misplaced_start(&file("crates/agentboxd/src/session.rs", bad)).is_some(), "{bad}");
            assert!(misplaced_start(&file("crates/agentbox-kernel/src/spawn.rs", bad)).is_none(), "{bad}");
        }
        for good in [
            "use clap::Command;",
            "use std::process::ExitCode;",
            "#[cfg(test)]\nmod tests { use std::process::Command; }",
        ] {
            assert!(misplaced_start(&file("crates/agentboxd/src/session.rs", good)).is_none(), "{good}");
        }
    }

    #[test]
    fn long_files_are_found() {
        assert!(too_long(&file("crates/a/src/b.rs", &"\n".repeat(801))).is_some());
        assert!(too_long(&file("crates/a/src/b.rs", &"\n".repeat(800))).is_none());
        assert!(too_long(&file("crates/a/src/main.rs", &"\n".repeat(51))).is_some());
        assert!(too_long(&file("crates/a/tests/b/main.rs", &"\n".repeat(51))).is_none());
    }

    #[test]
    fn words_that_put_off_are_found() {
        for bad in [concat!("// TO", "DO: later"), concat!("    to", "do!()"), concat!("db", "g!(x)")] {
            assert_eq!(put_off(&file("a.rs", bad)).len(), 1, "{bad}");
        }
        for good in ["let todo = 1;", "todo = \"deny\"", "mastodon"] {
            assert!(put_off(&file("a.rs", good)).is_empty(), "{good}");
        }
    }
}
