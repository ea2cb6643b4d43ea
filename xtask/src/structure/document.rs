//! What the documents say about the code: the diagram, the links, the attacks.

use super::Repository;
use super::source::{Source, Sources};
use std::collections::BTreeSet;

const OVERVIEW: &str = "docs/ARCHITECTURE.md";
/// First line of the fenced block with the diagram of crates.
const DIAGRAM: &str = "```text edges";
/// Head of the table that says where things are changed.
const PLACES: &str = "| X | place |";

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

/// Every place of the table that says where things are changed is there.
pub(super) fn places_exist(repository: &Repository) -> Vec<String> {
    let root = crate::workspace::root();
    let below = |place: &str, directory: &str| {
        let mut paths = repository.sources.files.iter().map(|file| file.path.as_str());
        root.join(directory).join(place).exists()
            || root.join(directory).join("src").join(place).exists()
            || !directory.is_empty()
                && paths.any(|path| path.starts_with(directory) && path.ends_with(&format!("/{place}")))
    };
    missing_places(&repository.sources, below)
}

/// A row names crates, and of each files and directories: `crate`: `file.rs`, `directory/`; `another`: … What is named
/// before any crate is there from the root.
fn missing_places(sources: &Sources, below: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let Some(file) = sources.get(OVERVIEW) else { return vec![format!("{OVERVIEW} is missing")] };
    let rows: Vec<&str> = file.text.lines().skip_while(|line| *line != PLACES).skip(2).collect();
    if rows.is_empty() {
        return vec![format!("{OVERVIEW} has no table with the head `{PLACES}`")];
    }
    let mut problems = Vec::new();
    for row in rows.iter().take_while(|row| row.starts_with('|')) {
        let mut within = String::new();
        let places = row.trim_end_matches('|').rsplit('|').next().unwrap_or(row);
        for word in places.split('`').skip(1).step_by(2) {
            if word.starts_with("agentbox") || word == "xtask" {
                within = if word == "xtask" { word.to_owned() } else { format!("crates/{word}") };
                problems.extend((!below("", &within)).then(|| format!("{OVERVIEW}: no crate {word}: {row}")));
            } else if !word.contains(' ')
                && !word.contains("NAME")
                && !below(word, &within)
                && !below(word, "")
            {
                problems.push(format!("{OVERVIEW}: no {word} in {within}: {row}"));
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
pub(super) fn is_attack(word: &str) -> bool {
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
    fn a_place_that_is_not_there_is_found() {
        let problems = |cell: &str| {
            let text = format!("# A\n\n{PLACES}\n|---|---|\n| a thing | {cell} |\n\nText.\n");
            let there = ["crates/agentbox-a/", "crates/agentbox-a/x.rs", "/presets/", "xtask/", "xtask/y/"];
            missing_places(&sources(&text, ""), |place, within| {
                there.contains(&format!("{within}/{place}").as_str())
            })
        };
        for good in
            ["`agentbox-a`: `x.rs`", "`presets/`", "`agentbox-a`; `xtask`: `y/`", "then `cargo xtask dist`"]
        {
            assert!(problems(good).is_empty(), "{good}: {:?}", problems(good));
        }
        for bad in ["`agentbox-a`: `y/`", "`x.rs`", "`agentbox-b`", "`xtask`: `y/`, `z/`"] {
            assert_eq!(problems(bad).len(), 1, "{bad}");
        }
        assert_eq!(missing_places(&sources("# A\n", ""), |_, _| true).len(), 1);
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
