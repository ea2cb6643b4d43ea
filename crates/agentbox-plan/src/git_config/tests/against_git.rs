//! What the git of this machine reads, against what is read here.

use super::*;
use proptest::prelude::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A name as git writes it in its list, and its value.
type Read = (Vec<u8>, Option<Vec<u8>>);

/// What git reads; none when it refuses the configuration.
fn of_git(text: &[u8]) -> Option<Vec<Read>> {
    let mut git = Command::new("git");
    git.args(["config", "-f", "-", "--list", "-z"]).env_clear().env("PATH", "/usr/bin:/bin");
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut git = git.spawn().unwrap();
    git.stdin.take().unwrap().write_all(text).unwrap();
    let output = git.wait_with_output().unwrap();
    let entry = |bytes: &[u8]| match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (bytes[..at].to_vec(), Some(bytes[at + 1..].to_vec())),
        None => (bytes.to_vec(), None),
    };
    let all = output.stdout.strip_suffix(b"\0").map(|all| all.split(|byte| *byte == 0).map(entry).collect());
    output.status.success().then(|| all.unwrap_or_default())
}

fn ours(text: &[u8]) -> Option<Vec<Read>> {
    let name = |Entry { section, subsection, key, .. }: &Entry| {
        let own = subsection.iter().flat_map(|own| [own.as_slice(), b"."].concat()).collect();
        [section.as_bytes().to_vec(), b".".to_vec(), own, key.as_bytes().to_vec()].concat()
    };
    let read = |entry: Entry| (name(&entry), entry.value);
    parse(text).ok().map(|entries| entries.into_iter().map(read).collect())
}

/// Which white space stands within a value is not the same for every version of git.
fn spaced(all: Option<Vec<Read>>) -> Option<Vec<Read>> {
    let space = |byte: u8| if matches!(byte, b'\t' | b'\r') { b' ' } else { byte };
    let read = |(name, value): Read| (name, value.map(|value| value.into_iter().map(space).collect()));
    all.map(|all| all.into_iter().map(read).collect())
}

/// Reads it in both ways. What git takes and this does not is a section without a name and a key before any section.
fn compare(text: &[u8]) {
    let (git, here) = (spaced(of_git(text)), spaced(ours(text)));
    let shown = text.escape_ascii();
    if here.is_some() {
        assert_eq!(here, git, "{shown}");
    } else if let Some(git) = git {
        let is_odd = |name: &[u8]| name.starts_with(b".") || !name.contains(&b'.');
        let headless = text.windows(2).any(|pair| matches!(pair, b"[]" | b"[." | b"[ " | b"[\t" | b"[\r"));
        assert!(headless || git.iter().any(|(name, _)| is_odd(name)), "{shown}: {git:?}");
    }
}

#[test]
fn what_stands_before_a_continued_line_stays_and_no_other_space_ends_a_value() {
    for (value, read) in [
        (".githooks \\\n\n", ".githooks "),
        (".githooks \\\n", ".githooks "),
        (".githooks \\", ".githooks "),
        (".githooks\x0c\n", ".githooks\x0c"),
        ("\x0b.githooks\x0b \n", "\x0b.githooks\x0b"),
        (".githooks \r\r\n", ".githooks"),
        (".git\thooks\t \"\" # x\n", ".git\thooks\t "),
    ] {
        let text = format!("[core]\nhooksPath = {value}");
        compare(text.as_bytes());
        assert_eq!(parse(text.as_bytes()).unwrap()[0].value.as_deref(), Some(read.as_bytes()), "{value:?}");
    }
    for text in
        ["[a\r\"b\"]\nc", "[a \n\"b\"]\nc", "[a]\n\x0cb", "[a]\n\x0bb", "[a]\n\rb", "[a]\nb\r= c", "[a]b=\\"]
    {
        compare(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn git_reads_the_same_value(
        value in "[ \\\\\n\"#;\t\x0c\x0b\ra=\\[\\]]{0,12}",
        behind in "[ \\\\\n\"#;\t\x0c\x0b\ra=\\[\\]]{0,4}",
    ) {
        compare(format!("[a]\nb = {value}").as_bytes());
        compare(format!("[a]\nb{behind} = {value}\n{behind}a = x\n").as_bytes());
    }

    #[test]
    fn git_reads_the_same_of_any_text(text in "(\\[a\\])?[ \\\\\n\"#;\t\x0c\x0b\ra=.\\[\\]]{0,16}") {
        compare(text.as_bytes());
    }
}
