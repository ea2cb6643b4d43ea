//! What has to be opened for a session, and what each of it is for.

use super::{Opener, Wanted, WantedKind, agent, names, told};
use crate::paths::is_within;
use crate::places::{Base, credentials};
use crate::{Filesystem, Guard, Isolation, KeptWhat, Policy, PolicyError, Workspace};

/// What an opened thing is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The host's whole file system.
    Root,
    /// A place that every session sees.
    Shown,
    /// A device node.
    Device,
    /// A directory of the host that is replaced by the session's own.
    Private,
    /// The grant at this position.
    Grant(usize),
    /// The agent's own directory at this position, as it is on the host.
    OwnOnHost(usize),
    /// The agent's own directory at this position, as the session has it.
    Own(usize),
    /// The directory at this position of what is kept.
    Volume(usize),
    /// The secret at this position.
    Secret(usize),
    /// What the profile puts into the session, at this position.
    Pinned(usize),
    /// The file at this position of those that say how the agent behaves.
    Setting(usize),
    /// A file of the host that says how names are found, to be covered.
    Covered,
    /// What covers the file of this path.
    Cover(&'static str),
    /// What the gates refused.
    Denials,
    /// What the session is.
    Told,
    /// The layer over the project.
    Layer,
    /// The ssh-agent's socket.
    AgentSocket,
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) wanted: Wanted,
    pub(super) role: Role,
}

/// Path of a thing of the agent's own, below the home.
pub(super) fn own_path(policy: &Policy, at: usize) -> String {
    format!("{}/{}", policy.person.home, policy.own_directories[at])
}

pub(super) fn items(policy: &Policy) -> Result<Vec<Item>, PolicyError> {
    if policy.isolation() == Isolation::None {
        return Ok(Vec::new());
    }
    let base = Base::load()?;
    let shared = policy.filesystem() != Filesystem::Listed;
    let mut items = Vec::new();
    let mut add = |path: &str, by: Opener, optional: bool, what: WantedKind, origin: &str, role: Role| {
        let preset = matches!(role, Role::Grant(at) if policy.grants[at].preset);
        let (path, origin) = (path.to_owned(), origin.to_owned());
        items.push(Item { wanted: Wanted { path, by, optional, preset, what, origin }, role });
    };
    let data = "built-in: base.toml";
    if shared {
        add("/", Opener::System, false, WantedKind::Directory, "built-in: filesystem `shared`", Role::Root);
        for path in &base.private {
            add(path, Opener::System, true, WantedKind::Directory, data, Role::Private);
        }
    }
    for path in &base.shown {
        // The host's root brings them along, but for what lies in a directory that is replaced.
        if !shared || base.private.iter().any(|private| is_within(path, private)) {
            add(path, Opener::System, true, WantedKind::Any, data, Role::Shown);
        }
    }
    for path in &base.devices {
        add(path, Opener::System, false, WantedKind::CharDevice, data, Role::Device);
    }
    for path in &base.optional_devices {
        add(path, Opener::System, true, WantedKind::CharDevice, data, Role::Device);
    }
    let secret = credentials(&policy.person.home)?;
    for (at, grant) in policy.grants.iter().enumerate() {
        let hidden = base.private.iter().chain(&secret).any(|place| is_within(&grant.path, place));
        if grant.path == policy.place.path || (shared && !grant.write && !hidden) {
            continue;
        }
        let optional = grant.preset || !grant.write;
        add(&grant.path, Opener::Person, optional, WantedKind::Any, &grant.origin, Role::Grant(at));
    }
    let origin = format!("preset {}", policy.agent.value);
    for at in 0..policy.own_directories.len() {
        let path = own_path(policy, at);
        if policy.grants.iter().any(|grant| grant.path == path) {
            continue;
        }
        if shared {
            add(&path, Opener::Person, true, WantedKind::Any, &origin, Role::OwnOnHost(at));
        }
        let (size_bytes, inodes) = own_size(policy);
        add(&path, Opener::System, false, WantedKind::Own { size_bytes, inodes }, &origin, Role::Own(at));
    }
    for (at, kept) in policy.kept.iter().enumerate() {
        if let KeptWhat::Directory { .. } = kept.value.what {
            let path = kept.value.store.join("/");
            add(&path, Opener::System, false, WantedKind::Volume, &kept.origin, Role::Volume(at));
        }
    }
    for (at, pin) in policy.pins.iter().enumerate() {
        add(&pin.path, pin.by, false, WantedKind::Pinned { at }, &pin.origin, Role::Pinned(at));
    }
    for (at, secret) in policy.secrets.iter().enumerate() {
        add(&secret.path, secret.by, false, WantedKind::Secret { at }, &secret.origin, Role::Secret(at));
    }
    for (at, file) in policy.rendered.iter().enumerate().filter(|(_, file)| !file.seed) {
        let what = WantedKind::Made { content: file.content.clone() };
        add(&format!("setting-{at}"), Opener::System, false, what, &origin, Role::Setting(at));
    }
    if policy.has_gate() {
        names::items(shared, &mut add);
    }
    if policy.workspace() == Workspace::Overlay {
        add("layer", Opener::System, false, WantedKind::Layer, "workspace `overlay`", Role::Layer);
    }
    if policy.has_gate() || policy.ssh_agent.is_some() || policy.guard() != Guard::Off {
        names::denials_item(&mut add);
    }
    agent::items(policy, &mut add);
    told::items(&mut add);
    Ok(items)
}

/// Bytes and files of each of the agent's own directories: those of the home, else of /tmp.
fn own_size(policy: &Policy) -> (u64, u64) {
    let settings = &policy.settings;
    let size = settings.home_size.or(settings.tmp_size).map_or(1 << 30, crate::lattice::TmpfsSize::get);
    (size, super::tree::inodes(size))
}

/// A relative path that no other project has: the project's path with `/` as `-` and every other byte
/// that is not a letter, a digit, `.` or `_` as `%XX`. It begins with `-`. What is longer than a file's
/// name may be goes on in a directory whose name begins with `+`.
pub(crate) fn project_key(path: &str) -> String {
    const PIECE: usize = 200;
    let mut key = String::new();
    let mut piece = 0;
    for byte in path.bytes() {
        if piece >= PIECE {
            key.push_str("/+");
            piece = 1;
        }
        let before = key.len();
        match byte {
            b'/' => key.push('-'),
            b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => key.push(char::from(byte)),
            _ => key.push_str(&format!("%{byte:02X}")),
        }
        piece += key.len() - before;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_that_look_alike_have_different_keys() {
        let paths = ["/a/b-c", "/a-b/c", "/a/b/c", "/a-b-c", "/a%2Db/c", "/a b", "/a%20b", "/ä", "/a\n"];
        for (at, path) in paths.iter().enumerate() {
            for other in &paths[..at] {
                assert_ne!(project_key(path), project_key(other), "{path:?} {other:?}");
            }
        }
        assert_eq!(project_key("/home/me/my-site"), "-home-me-my%2Dsite");
    }

    fn back(key: &str) -> Vec<u8> {
        let key = key.replace("/+", "");
        let mut bytes = Vec::new();
        let mut rest = key.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            bytes.push(match first {
                b'-' => b'/',
                b'%' => {
                    let digits = std::str::from_utf8(&after[..2]).unwrap();
                    rest = &after[2..];
                    u8::from_str_radix(digits, 16).unwrap()
                }
                other => *other,
            });
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_key_says_exactly_one_path(parts in proptest::collection::vec("[^/\0]{1,90}", 1..9)) {
            let path = format!("/{}", parts.join("/"));
            let key = project_key(&path);
            prop_assert_eq!(back(&key), path.as_bytes());
            for name in key.split('/') {
                prop_assert!(name.len() <= 255 && !name.is_empty() && name != "." && name != "..");
            }
            prop_assert!(key.starts_with('-'));
        }
    }
}
