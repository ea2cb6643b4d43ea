//! How programs inside find the gate, and what it refused.
//!
//! Where only what is listed exists these files are made with the others. Where the host's exist they are
//! covered: what the host's say leads past the gate, to resolvers and sockets that a session does not reach.

use super::items::{Item, Role};
use super::tree::{Scene, Tree, missing};
use super::{Found, Opener, WantedKind, inner};
use crate::PolicyError;
use crate::paths::is_within;
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Mount, Owner, SourceIndex};

/// Where the gate answers, for glibc and for musl alike.
///
/// One address, and IPv4: the gate answers for both families there, IPv4 is on every loopback, and of two
/// addresses glibc asks the second whenever the first refuses, musl always both. `timeout` is for glibc the
/// time of one try, for musl of all of them, and has to outlast a slow resolver behind the gate; a try that
/// is lost while another gate takes the place of one is made again before that.
pub(super) const RESOLV_CONF: &str = "# Names are answered by the gate of this session.\nnameserver 198.18.0.1\noptions timeout:4 attempts:3\n";

/// Names of hosts from /etc/hosts and the gate. The rest is what the host may have: a module that is not
/// installed is passed over (nsswitch.conf(5)), as is one whose service is not there.
const NSSWITCH_CONF: &str = "passwd: files altfiles extrausers sss systemd\n\
     group: files altfiles extrausers sss systemd\nshadow: files\nhosts: files dns\nnetworks: files\n\
     protocols: files\nservices: files\nethers: files\nrpc: files\nnetgroup: files sss\n";

const RESOLV_CONF_PATH: &str = "/etc/resolv.conf";
const NSSWITCH_CONF_PATH: &str = "/etc/nsswitch.conf";
/// What the gate refused, as the session sees it.
const DENIALS_PATH: &str = "/run/agentbox/denials.jsonl";

/// Where the services that write resolv.conf keep it. /etc/resolv.conf is a link to one of these, directly
/// or through another (/etc/static on NixOS), so all of them are made in the session's own /run.
const IN_RUN: &[&str] = &[
    "/run/NetworkManager/resolv.conf",
    "/run/connman/resolv.conf",
    "/run/netconfig/resolv.conf",
    "/run/resolvconf/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/systemd/resolve/stub-resolv.conf",
];

const ORIGIN: &str = "built-in: names are answered by the gate";

/// What has to be opened for a session with a gate.
pub(super) fn items(shared: bool, add: &mut impl FnMut(&str, Opener, bool, WantedKind, &str, Role)) {
    if shared {
        for (path, name, content) in [
            (RESOLV_CONF_PATH, "resolv.conf", RESOLV_CONF),
            (NSSWITCH_CONF_PATH, "nsswitch.conf", NSSWITCH_CONF),
        ] {
            add(path, Opener::System, true, WantedKind::Any, ORIGIN, Role::Covered);
            add(
                name,
                Opener::System,
                false,
                WantedKind::Made { content: content.to_owned() },
                ORIGIN,
                Role::Cover(path),
            );
        }
    }
}

/// What has to be opened so that a session sees what was refused.
pub(super) fn denials_item(add: &mut impl FnMut(&str, Opener, bool, WantedKind, &str, Role)) {
    let origin = "built-in: a session sees what was refused";
    add("denials.jsonl", Opener::System, false, WantedKind::Denials, origin, Role::Denials);
}

/// What the gate refused, where the session has a /run of its own.
pub(super) fn denials(scene: &Scene<'_>, tree: &mut Tree) -> Result<(), PolicyError> {
    for (item, found, source) in scene.found().filter(|(item, _, _)| item.role == Role::Denials) {
        made(item, found)?;
        if tree.has("/run") {
            tree.file(source, DENIALS_PATH, &item.wanted.origin)?;
        }
    }
    Ok(())
}

/// Covers what the host says about names.
pub(super) fn cover(scene: &Scene<'_>, tree: &mut Tree) -> Result<(), PolicyError> {
    for (item, found, source) in scene.found() {
        let Role::Cover(path) = item.role else { continue };
        made(item, found)?;
        let covered =
            scene.found().find(|(item, _, _)| item.role == Role::Covered && item.wanted.path == path);
        let Some((covered, host, _)) = covered else { continue };
        match (path, host) {
            (_, Found::File) => tree.file(source, path, &item.wanted.origin)?,
            (RESOLV_CONF_PATH, Found::Symlink(to)) => behind_link(tree, source, to, item)?,
            (RESOLV_CONF_PATH, _) => {
                let remedy = "make it a file (touch /etc/resolv.conf), or use posture L2";
                return Err(missing(covered, "no name could be looked up, and it cannot be made", remedy));
            }
            // Without one libc asks files and dns. Behind a link it is the host's: what it names beside
            // dns needs sockets of the host, which are not there.
            _ => {}
        }
    }
    Ok(())
}

/// Covers what /etc/resolv.conf is a link to.
fn behind_link(tree: &mut Tree, source: SourceIndex, to: &str, item: &Item) -> Result<(), PolicyError> {
    let target = follow(to);
    if tree.has("/run") {
        let own = target.as_deref().filter(|target| is_within(target, "/run") && *target != "/run");
        for path in IN_RUN.iter().copied().chain(own) {
            let content = Bytes(RESOLV_CONF.as_bytes().to_vec());
            tree.put(Mount::File { path: inner(path)?, mode: 0o644, owner: Owner::Root, content });
        }
    }
    match target {
        // Through a link of /etc, which NixOS makes of everything there, to one of those.
        Some(target) if is_within(&target, "/run") || is_within(&target, "/etc/static") => Ok(()),
        Some(target) if tree.is_hosts(&target) => tree.file(source, &target, &item.wanted.origin),
        _ => Err(missing(
            item,
            "/etc/resolv.conf is a link to a place where nothing can be covered",
            "make it a file, or use posture L2",
        )),
    }
}

/// Where a link in /etc leads by its letters; /var/run is /run on every system that has both.
fn follow(to: &str) -> Option<String> {
    let whole = if to.starts_with('/') { to.to_owned() } else { format!("/etc/{to}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    let path = match path.strip_prefix("/var/run/") {
        Some(rest) => format!("/run/{rest}"),
        None => path,
    };
    (path != "/" && path != RESOLV_CONF_PATH).then_some(path)
}

/// What the supervisor makes is there.
pub(super) fn made(item: &Item, found: &Found) -> Result<(), PolicyError> {
    match found {
        Found::File => Ok(()),
        _ => Err(missing(item, "the supervisor has no file for it", "look at agentboxctl doctor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_ask_the_gate_and_nobody_else() {
        let servers: Vec<_> =
            RESOLV_CONF.lines().filter_map(|line| line.strip_prefix("nameserver ")).collect();
        assert_eq!(servers, [agentbox_plan::gate::DNS_V4.to_string()]);
        let hosts: Vec<_> = NSSWITCH_CONF.lines().filter_map(|line| line.strip_prefix("hosts: ")).collect();
        assert_eq!(hosts, ["files dns"]);
    }

    #[test]
    fn links_lead_where_their_letters_say() {
        for (to, path) in [
            ("../run/systemd/resolve/stub-resolv.conf", Some("/run/systemd/resolve/stub-resolv.conf")),
            ("/run/NetworkManager/resolv.conf", Some("/run/NetworkManager/resolv.conf")),
            ("../var/run/x/resolv.conf", Some("/run/x/resolv.conf")),
            ("/etc/static/resolv.conf", Some("/etc/static/resolv.conf")),
            ("/mnt/wsl/resolv.conf", Some("/mnt/wsl/resolv.conf")),
            ("resolv.conf.real", Some("/etc/resolv.conf.real")),
            ("resolv.conf", None),
            ("../..", None),
        ] {
            assert_eq!(follow(to).as_deref(), path, "{to}");
        }
    }
}
