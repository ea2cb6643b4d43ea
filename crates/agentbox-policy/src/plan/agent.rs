//! Where a session finds its ssh-agent, and the keys of the hosts that it is for.

use super::items::Role;
use super::tree::{Scene, Tree, missing};
use super::{Found, Opener, WantedKind, inner};
use crate::{Policy, PolicyError};
use agentbox_plan::keys::SOCKET;
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Mount, Owner};

/// Where ssh looks besides the home (ssh_config(5), GlobalKnownHostsFile).
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// What has to be opened for it.
pub(super) fn items(policy: &Policy, add: &mut impl FnMut(&str, Opener, bool, WantedKind, &str, Role)) {
    if let Some(agent) = &policy.ssh_agent {
        let name = "ssh-agent.sock";
        add(name, Opener::System, false, WantedKind::AgentSocket, &agent.origin, Role::AgentSocket);
    }
}

/// Its socket, and what is known of its hosts.
pub(super) fn tree(scene: &Scene<'_>, tree: &mut Tree) -> Result<(), PolicyError> {
    let Some(agent) = &scene.policy.ssh_agent else { return Ok(()) };
    for (item, found, source) in scene.found().filter(|(item, _, _)| item.role == Role::AgentSocket) {
        if *found != Found::File {
            return Err(missing(item, "the supervisor has no socket for it", "look at agentboxctl doctor"));
        }
        tree.file(source, SOCKET, &item.wanted.origin)?;
    }
    let content = agent.known_hosts();
    // Whoever grants the host's own file has it.
    if !content.is_empty() && !tree.is_visible(KNOWN_HOSTS) {
        let content = Bytes(content.into_bytes());
        tree.put(Mount::File { path: inner(KNOWN_HOSTS)?, mode: 0o644, owner: Owner::Root, content });
    }
    Ok(())
}
