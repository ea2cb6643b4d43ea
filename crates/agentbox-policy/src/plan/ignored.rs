//! What git inside passes over: the secrets that are hidden, which the directory that they lie in still lists. Without
//! this `git add -A` would end at the first of them.

use super::inner;
use super::tree::{Scene, Tree};
use crate::PolicyError;
use agentbox_plan::look::{HeldPlace, Hiding};
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Mount, Owner};

const PATH: &str = "/run/agentbox/git-ignore";

/// The file, where something is hidden and the session has a /run of its own.
pub(super) fn file(scene: &Scene<'_>, tree: &mut Tree) -> Result<(), PolicyError> {
    let content = patterns(&scene.facts.held);
    if !content.is_empty() && tree.has("/run") {
        let path = inner(PATH)?;
        tree.put(Mount::File { path, mode: 0o644, owner: Owner::Root, content: Bytes(content) });
    }
    Ok(())
}

/// What git is told of it, behind so many other settings (git-config(1), GIT_CONFIG_COUNT): names and values of
/// variables. The setting stands for a list of the agent's own in its home, which then is not read.
pub(super) fn variables(tree: &Tree, count: Option<&str>) -> Option<[(String, String); 3]> {
    let at: usize = count.unwrap_or("0").parse().ok().filter(|_| tree.has(PATH))?;
    Some([
        (format!("GIT_CONFIG_KEY_{at}"), "core.excludesFile".to_owned()),
        (format!("GIT_CONFIG_VALUE_{at}"), PATH.to_owned()),
        ("GIT_CONFIG_COUNT".to_owned(), (at + 1).to_string()),
    ])
}

/// A pattern a line, from the project's root (gitignore(5)).
fn patterns(held: &[HeldPlace]) -> Vec<u8> {
    let mut text = Vec::new();
    for place in held.iter().filter(|place| place.spot.place == 0 && place.hiding == Hiding::Hidden) {
        let path = place.spot.path.as_bytes();
        // It has no spelling for a line's end.
        if path.contains(&b'\n') {
            continue;
        }
        text.push(b'/');
        for byte in path {
            if matches!(byte, b'\\' | b'*' | b'?' | b'[' | b' ') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::look::PlacePath;

    #[test]
    fn what_is_hidden_is_a_pattern_that_matches_nothing_else() {
        let held = |place, path: &str, hiding| HeldPlace::new(place, PlacePath::new(path).unwrap(), hiding);
        let all = [
            held(0, ".env", Hiding::Hidden),
            held(0, ".git/hooks", Hiding::ReadOnly),
            held(1, "key", Hiding::Hidden),
            held(0, "a b/[x]*?\\ ", Hiding::Hidden),
            held(0, "a\nb", Hiding::Hidden),
        ];
        assert_eq!(String::from_utf8(patterns(&all)).unwrap(), "/.env\n/a\\ b/\\[x]\\*\\?\\\\\\ \n");
        assert!(patterns(&all[1..3]).is_empty());
    }
}
