//! Examples in the documents: what is typed is a command line that exists, what is written into a file is read.
//!
//! | language | what is asked of it |
//! |---|---|
//! | `toml`, `json`, then whose file | the parser of the configuration takes it; without a word it is a person's |
//! | `sh` | every line begins with a program that is known; those of this repository take their arguments |
//! | `console` | the same of lines that begin with `$`, the others are answers |
//! | `nix`, then its kind | `nix::snippets` evaluates it |
//! | `text` | nothing |
//!
//! In running text, code that begins like a command line of this repository is one.

use super::Repository;
use super::source::{Source, Sources};
use crate::nix;
use crate::verb::Verb;
use agentbox_policy::{Layer, LayerKind, merge_system};
use agentboxctl::arguments::Arguments;
use clap::Parser as _;
use clap::error::ErrorKind;

/// Programs of others that are typed in examples, also inside of sessions.
const OTHERS: &[&str] = &[
    "adduser",
    "apt",
    "cat",
    "cd",
    "curl",
    "export",
    "git",
    "id",
    "journalctl",
    "ls",
    "systemctl",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "usermod",
];
/// What stands for the id of a session in examples.
const IDS: &[&str] = &["ID", "SESSION"];
/// An id.
const ID: &str = "sk7f0gp5";

/// Every example of every document is right.
pub(super) fn every_example_is_one_that_works(repository: &Repository) -> Vec<String> {
    wrong(&repository.sources)
}

fn wrong(sources: &Sources) -> Vec<String> {
    let documents = sources.files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(wrong_in).collect()
}

/// A fenced block: what stands behind the fence, its lines, and where the first of them is.
struct Example<'a> {
    info: &'a str,
    lines: Vec<&'a str>,
    at: usize,
}

fn wrong_in(file: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let mut lines = file.text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            let commands = line.split('`').skip(1).step_by(2);
            problems.extend(
                commands
                    .filter_map(|command| mentioned(command).err())
                    .map(|error| told(file, at + 1, &error)),
            );
            continue;
        };
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let example = Example { info, lines: body, at: at + 2 };
        problems.extend(judge(&example).into_iter().map(|(at, error)| told(file, at, &error)));
    }
    problems
}

fn told(file: &Source, at: usize, error: &str) -> String {
    format!("{}:{at}: {}", file.path, error.lines().next().unwrap_or(error))
}

/// What is wrong with an example, each with its line.
fn judge(example: &Example) -> Vec<(usize, String)> {
    let (language, word) = example.info.split_once(' ').unwrap_or((example.info, ""));
    let at = example.at;
    let commands = |prefix: &str| {
        let lines = example.lines.iter().enumerate();
        let typed = lines.filter_map(|(line, text)| Some((at + line, text.strip_prefix(prefix)?)));
        typed.filter_map(|(at, text)| Some((at, command(text).err()?))).collect()
    };
    match (language, word) {
        ("toml" | "json", word) => configuration(language, word, &example.lines.join("\n"))
            .err()
            .map(|error| (at, error))
            .into_iter()
            .collect(),
        ("sh", "") => commands(""),
        ("console", "") => commands("$ "),
        ("nix", kind) if nix::KINDS.contains(&kind) => vec![],
        ("text", _) => vec![],
        _ => vec![(at - 1, format!("an example in `{}`, which nothing reads", example.info))],
    }
}

fn configuration(format: &str, word: &str, text: &str) -> Result<(), String> {
    let kind = match word {
        "system" => LayerKind::System,
        "person" | "" => LayerKind::Person,
        "project" => LayerKind::Project,
        other => return Err(format!("nobody's file: {other}")),
    };
    let layer = Layer::parse(&format!("example.{format}"), text.as_bytes(), kind)
        .map_err(|error| error.to_string())?;
    if kind == LayerKind::System {
        merge_system(vec![layer]).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A line that is typed.
fn command(line: &str) -> Result<(), String> {
    let words = words(line)?;
    let words = match words.first().map(String::as_str) {
        None => return Ok(()),
        Some("sudo") => &words[1..],
        Some(_) => &words[..],
    };
    let first = words.first().ok_or("sudo of nothing")?.as_str();
    if let Some(answer) = of_this_repository(words) {
        return answer.map_err(|error| error.to_string());
    }
    // One in a substitution: export PATH="$(cargo xtask build --release):$PATH"
    if let Some((_, inner)) = line.split_once("$(") {
        command(inner.split(')').next().unwrap_or(inner))?;
    }
    if OTHERS.contains(&first) || first.contains('=') {
        return Ok(());
    }
    Err(format!("`{first}` is no program that examples use"))
}

/// Code in running text. It may leave out what is required, and is not looked at where it stands for several.
fn mentioned(code: &str) -> Result<(), String> {
    if code.contains(['[', '|', '…', '{']) {
        return Ok(());
    }
    let Ok(words) = words(code) else { return Ok(()) };
    match of_this_repository(&words) {
        Some(Err(error)) if !is_unfinished(error.kind()) => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn is_unfinished(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Whether a program of this repository takes its arguments; nothing for a program of others.
fn of_this_repository(words: &[String]) -> Option<Result<(), clap::Error>> {
    let words: Vec<&str> =
        words.iter().map(|word| if IDS.contains(&word.as_str()) { ID } else { word }).collect();
    let parsed = match words.as_slice() {
        ["agentboxctl", ..] => Arguments::try_parse_from(&words).map(drop),
        ["cargo", "xtask", arguments @ ..] => {
            Verb::try_parse_from(std::iter::once(&"cargo xtask").chain(arguments)).map(drop)
        }
        // Variables before the program.
        [variable, rest @ ..] if variable.contains('=') && !rest.is_empty() => {
            let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
            return of_this_repository(&rest);
        }
        _ => return None,
    };
    Some(parsed)
}

/// The words of a line up to a comment, without their quotes.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (character, quote) {
            ('#', None) if word.is_none() => break,
            (end, Some(begin)) if end == begin => quote = None,
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (space, None) if space.is_whitespace() => words.extend(word.take()),
            (character, _) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote without an end: {line}"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        wrong_in(&Source::new("docs/x.md".to_owned(), text.to_owned()))
    }

    fn fenced(info: &str, text: &str) -> String {
        format!("# A\n\n```{info}\n{text}\n```\n\nB\n")
    }

    #[test]
    fn examples_that_work_are_taken() {
        for (info, text) in [
            (
                "sh",
                "agentboxctl apply ID src --trigger .envrc   # some of it\n\n# nothing else\nsudo agentboxctl log --verify",
            ),
            (
                "sh",
                "export PATH=\"$(cargo xtask build --release):$PATH\"\ncd ~/src\nA=1 cargo xtask test a_name",
            ),
            ("console", "$ agentboxctl list\nID  agentboxctl nonsense\n$ git status"),
            ("toml", "[profile.work]\nallow = [\"@npm\"]"),
            ("toml system", "[floor]\nisolation = \"sandbox\""),
            ("toml project", "network = \"none\""),
            ("json system", "{\"users\": [\"ada\"]}"),
            ("text", "whatever"),
        ] {
            assert!(problems(&fenced(info, text)).is_empty(), "{text}: {:?}", problems(&fenced(info, text)));
        }
        assert!(
            problems("`agentboxctl apply`, `agentboxctl start [PROJECT]`, `cargo build`, `a` b").is_empty()
        );
    }

    #[test]
    fn examples_that_do_not_work_are_found_with_their_line() {
        for (info, text) in [
            ("sh", "cd x\nagentboxctl begin"),
            ("sh", "cd x\nagentboxctl start --strong"),
            ("sh", "cd x\nagentboxctl apply"),
            ("sh", "cd x\ncargo xtask nothing"),
            ("sh", "cd x\nexport A=\"$(cargo xtask nothing)\""),
            ("sh", "cd x\nagentbxctl list"),
            ("sh", "cd x\ngit 'status"),
            ("console", "cd: said the shell\n$ agentboxctl lits"),
        ] {
            let found = problems(&fenced(info, text));
            assert!(found.len() == 1 && found[0].starts_with("docs/x.md:5: "), "{text}: {found:?}");
        }
        for (info, text) in [
            ("toml", "[profile.work]\nalow = []"),
            ("toml", "[floor]\nisolation = \"sandbox\""),
            ("toml system", "default_posture = \"missing\""),
            ("toml project", "[profile.work]"),
            ("toml nobody", ""),
            ("json system", "{"),
            ("nix", "{ }"),
            ("yaml", "a: b"),
            ("", "unknown"),
        ] {
            assert_eq!(problems(&fenced(info, text)).len(), 1, "{info}: {text}");
        }
        assert_eq!(problems("then `agentboxctl begin ID` and `cargo xtask list`").len(), 2);
    }
}
