//! A session's changes as a person reads them, and as a program does.
//!
//! Everything here was chosen by an agent: names and lines are escaped, long lines are cut, and what is not
//! text is told by its size. What makes a program on the host act later comes first.

use super::change::{Change, Class, RelPath, What};
use super::compare::Trees;
use super::lines::{self, Line, hunks, is_binary};
use super::tree::{self, Entry, Kind};
use crate::output::{escape, units};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// Most bytes of a file that is shown as text.
const MAX_TEXT_BYTES: u64 = 4 << 20;
/// Most characters of a line that are shown.
const MAX_LINE: usize = 2000;

/// How a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// With the lines that differ.
    Full,
    /// A line for each change.
    Stat,
}

/// A change for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    path: String,
    /// The path's bytes, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<RelPath>,
    what: What,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode_after: Option<String>,
    bytes_before: u64,
    bytes_after: u64,
    /// Lines added and removed, of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<[usize; 2]>,
    /// Which program on the host acts on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    /// git's own data, which arrives as commits.
    git_data: bool,
    conflict: bool,
}

/// Trigger files first, in the order of how they are held; then the rest, in the order of paths.
pub(crate) fn sort(changes: &mut [Change]) {
    let rank = |change: &Change| change.class.rank();
    changes.sort_by(|one, other| (rank(one), &one.path).cmp(&(rank(other), &other.path)));
}

/// All changes in words.
pub(crate) fn text(trees: &Trees, changes: &[Change], id: &str, style: Style) -> String {
    let mut out = String::new();
    let is_trigger = |change: &&Change| matches!(change.class, Class::Trigger { .. });
    if changes.iter().any(|change| is_trigger(&change)) {
        let _strings_take_all = writeln!(
            out,
            "Programs on this machine act on these; each is taken by name only: agentboxctl apply {id} --trigger PATH"
        );
        changes.iter().filter(is_trigger).for_each(|change| one(&mut out, trees, change, style));
        out.push('\n');
    }
    let rest = changes.iter().filter(|change| change.class == Class::Ordinary);
    rest.for_each(|change| one(&mut out, trees, change, style));
    let data =
        changes.iter().filter(|change| change.class == Class::GitData && change.kind() != Kind::Directory);
    match data.count() {
        0 => {}
        count => {
            let _strings_take_all = writeln!(
                out,
                "{count} of git's own files differ; commits arrive with: agentboxctl apply {id} --commits"
            );
        }
    }
    out
}

/// How many there are, in a line.
pub(crate) fn summary(changes: &[Change]) -> String {
    let ordinary = |change: &&Change| change.class != Class::GitData;
    let count = |wanted: &[What]| {
        changes.iter().filter(ordinary).filter(|change| wanted.contains(&change.what())).count()
    };
    let mut words = Vec::new();
    for (number, word) in [
        (count(&[What::Added]), "added"),
        (count(&[What::Modified, What::Replaced, What::Mode]), "modified"),
        (count(&[What::Renamed]), "renamed"),
        (count(&[What::Removed]), "removed"),
        (changes.iter().filter(ordinary).filter(|change| change.conflict).count(), "in conflict"),
    ] {
        if number > 0 {
            words.push(format!("{number} {word}"));
        }
    }
    if words.is_empty() { "no changes".to_owned() } else { words.join(", ") }
}

fn one(out: &mut String, trees: &Trees, change: &Change, style: Style) {
    let head = headline(change);
    let texts = texts(trees, change);
    let counted = match &texts {
        Some((old, new)) => {
            let (added, removed) = lines::count(old, new);
            format!("  +{added} -{removed}")
        }
        None => sizes(change),
    };
    let _strings_take_all = writeln!(out, "{head}{counted}");
    let Some((old, new)) = texts.filter(|_| style == Style::Full) else { return };
    for line in hunks(&lines::lines(&old), &lines::lines(&new)) {
        let (mark, text) = match line {
            Line::Place(from, count, to, now) => {
                // Lines are counted from 1, and an empty stretch is said to be after the line before.
                let first = |start: usize, count: usize| if count == 0 { start } else { start + 1 };
                ("", format!("@@ -{},{count} +{},{now} @@", first(from, count), first(to, now)))
            }
            Line::Same(line) => (" ", shown(line)),
            Line::Old(line) => ("-", shown(line)),
            Line::New(line) => ("+", shown(line)),
        };
        let _strings_take_all = writeln!(out, "{mark}{text}");
    }
}

fn headline(change: &Change) -> String {
    let word = match change.what() {
        What::Added => "added",
        What::Removed => "removed",
        What::Modified => "modified",
        What::Mode => "mode",
        What::Replaced => "replaced",
        What::Renamed => "renamed",
    };
    let mut head = format!("{word:<9}{}", name(&change.path));
    if change.kind() == Kind::Directory {
        head.push('/');
    }
    if let Some(from) = &change.renamed_from {
        let _strings_take_all = write!(head, " (from {})", name(from));
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if before.kind != after.kind => {
            let _strings_take_all = write!(head, " ({} → {})", word_of(before.kind), word_of(after.kind));
        }
        (Some(before), Some(after)) if before.mode != after.mode && after.kind != Kind::Link => {
            let _strings_take_all = write!(head, " ({:o} → {:o})", before.mode, after.mode);
        }
        (None, Some(after)) if after.kind == Kind::File && after.mode & 0o111 != 0 => {
            head.push_str(" (executable)");
        }
        (None, Some(after)) if matches!(after.kind, Kind::Link | Kind::Special) => {
            let _strings_take_all = write!(head, " ({})", word_of(after.kind));
        }
        _ => {}
    }
    if let Class::Trigger { actor, .. } = &change.class {
        let _strings_take_all = write!(head, "  [{} acts on it]", escape::name(actor));
    }
    if change.after.is_some_and(|after| after.mode & 0o6000 != 0) {
        head.push_str("  [set-id bits are never applied]");
    }
    if change.conflict {
        head.push_str("  [the project has changed here too]");
    }
    head
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Link => "symbolic link",
        Kind::Directory => "directory",
        Kind::Special => "pipe, socket or device: never applied",
    }
}

/// A path on a line of its own.
pub(crate) fn name(path: &RelPath) -> String {
    escape::name(&path.text())
}

/// A line of a file, without its newline.
fn shown(line: &[u8]) -> String {
    let ends = line.ends_with(b"\n");
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        text.push_str(&escape::line(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| {
            let _strings_take_all = write!(text, "\\x{byte:02x}");
        });
        if text.len() > MAX_LINE {
            break;
        }
    }
    if let Some((cut, _)) = text.char_indices().nth(MAX_LINE) {
        text.truncate(cut);
        let _strings_take_all = write!(text, "… ({} bytes)", line.len());
    }
    if !ends {
        text.push_str("  (no newline at the end)");
    }
    text
}

fn sizes(change: &Change) -> String {
    let size = |entry: &Option<Entry>| entry.filter(|entry| entry.kind == Kind::File).map(|entry| entry.size);
    match (size(&change.before), size(&change.after)) {
        (Some(before), Some(after)) if change.content => {
            format!("  binary or large, {} → {}", units::size(before), units::size(after))
        }
        (None, Some(size)) | (Some(size), None) => format!("  binary or large, {}", units::size(size)),
        _ => String::new(),
    }
}

/// Both sides of a change as text; `None` where one is not.
fn texts(trees: &Trees, change: &Change) -> Option<(Vec<u8>, Vec<u8>)> {
    if !change.content {
        return None;
    }
    let is_file = |entry: &Option<Entry>| entry.is_none_or(|entry| entry.kind == Kind::File);
    let old_path = change.renamed_from.as_ref().unwrap_or(&change.path);
    if change.kind() == Kind::Link {
        let link = |root, path: &RelPath, entry: &Option<Entry>| match entry {
            Some(entry) if entry.kind == Kind::Link => link_text(root, path),
            Some(_) => None,
            None => Some(Vec::new()),
        };
        let old = link(&trees.project, old_path, &change.before)?;
        return Some((old, link(&trees.merged, &change.path, &change.after)?));
    }
    if change.kind() != Kind::File || !is_file(&change.before) || !is_file(&change.after) {
        return None;
    }
    let read = |root, path: &RelPath, entry: &Option<Entry>| match entry {
        Some(_) => content(root, path, MAX_TEXT_BYTES).ok().flatten(),
        None => Some(Vec::new()),
    };
    let old = read(&trees.project, old_path, &change.before)?;
    let new = read(&trees.merged, &change.path, &change.after)?;
    (!is_binary(&old) && !is_binary(&new)).then_some((old, new))
}

fn link_text(root: &OwnedFd, path: &RelPath) -> Option<Vec<u8>> {
    let (directory, name) = path.split();
    let says = tree::link(tree::reach(root, directory).ok()?, &name).ok()?;
    Some([b"link to ", says.to_bytes(), b"\n"].concat())
}

/// What is in a file; `None` when it is larger than `most`.
pub(crate) fn content(root: &OwnedFd, path: &RelPath, most: u64) -> io::Result<Option<Vec<u8>>> {
    let (directory, name) = path.split();
    let file = File::from(tree::read(tree::reach(root, directory)?, &name)?);
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// All changes for programs.
pub(crate) fn listed(trees: &Trees, changes: &[Change]) -> Vec<Listed> {
    let octal = |entry: &Option<Entry>| entry.map(|entry| format!("{:04o}", entry.mode));
    let bytes = |entry: &Option<Entry>| entry.map_or(0, |entry| entry.size);
    let is_text = |path: &RelPath| std::str::from_utf8(path.as_bytes()).is_ok();
    let one = |change: &Change| Listed {
        path: change.path.text(),
        path_bytes: (!is_text(&change.path)).then(|| change.path.clone()),
        what: change.what(),
        kind: change.kind(),
        renamed_from: change.renamed_from.as_ref().map(RelPath::text),
        mode_before: octal(&change.before),
        mode_after: octal(&change.after),
        bytes_before: bytes(&change.before),
        bytes_after: bytes(&change.after),
        lines: texts(trees, change).map(|(old, new)| lines::count(&old, &new).into()),
        trigger: match &change.class {
            Class::Trigger { actor, .. } => Some(actor.clone()),
            _ => None,
        },
        git_data: change.class == Class::GitData,
        conflict: change.conflict,
    };
    changes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_what_a_terminal_would_obey() {
        assert_eq!(shown(b"\tplain \xc3\xa4\n"), "\tplain \u{e4}");
        assert_eq!(shown(b"\x1b]0;x\x07\r\n"), "\\x1b]0;x\\x07\\x0d");
        assert_eq!(shown(b"\xff\xfe"), "\\xff\\xfe  (no newline at the end)");
        assert_eq!(shown("a\u{202e}b\n".as_bytes()), "a\\u{202e}b");
        let long = shown(&[&[b'x'; 5000][..], b"\n"].concat());
        assert!(long.starts_with("xxx") && long.ends_with("… (5000 bytes)") && long.len() < 2100);
    }
}
