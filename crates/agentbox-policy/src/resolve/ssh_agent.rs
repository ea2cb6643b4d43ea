//! Which ssh-agent a session has: the profile's keys and hosts, with what is known of those hosts.

use super::choice::Choice;
use super::refused;
use crate::agent::SshAgent;
use crate::config::{AgentHost, SignFor};
use crate::policy::Held;
use crate::request::MAX_HOST_KEYS;
use crate::text::printable;
use crate::{Filesystem, Inputs, Isolation, PolicyError};
use agentbox_plan::keys::{HostKey, KnownHost, SshHost};

pub(super) fn collect(
    inputs: &Inputs<'_>,
    choice: &Choice<'_>,
    held: Held,
    warnings: &mut Vec<String>,
) -> Result<Option<SshAgent>, PolicyError> {
    let Some(table) = choice.table.and_then(|(_, table)| table.ssh_agent.as_ref()) else { return Ok(None) };
    let rule = choice.profile_rule("ssh_agent");
    let mut keys: Vec<_> = table.keys.iter().flatten().map(|key| key.0).collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        let remedy = "name keys as `ssh-add -l` prints them: keys = [\"SHA256:…\"]";
        return Err(refused("an ssh-agent without a key", rule, remedy));
    }
    let mut names: Vec<_> = table.hosts.iter().flatten().map(|AgentHost(host)| host.clone()).collect();
    names.sort();
    names.dedup();
    let sign_git = table.sign.iter().flatten().any(|what| *what == SignFor::Git);
    if names.is_empty() && !sign_git {
        let remedy = "name hosts for logins, or `sign = [\"git\"]`";
        return Err(refused("an ssh-agent that may sign nothing", rule, remedy));
    }
    let mut without = |why: &str| warnings.push(format!("the session has no ssh-agent ({rule}): {why}"));
    if held.isolation == Isolation::None || held.filesystem != Filesystem::Listed {
        without("only where nothing but what is listed exists (posture L2) there is a place for its socket");
        return Ok(None);
    }
    let Some(socket) = inputs.ssh.and_then(|ssh| ssh.socket.as_deref()) else {
        without("SSH_AUTH_SOCK is not set where it was started");
        return Ok(None);
    };
    let hosts: Vec<_> =
        names.into_iter().map(|host| KnownHost { keys: known(inputs, &host), host }).collect();
    for KnownHost { host, .. } in hosts.iter().filter(|host| host.keys.is_empty()) {
        warnings.push(format!(
            "no key of the host `{host}` is known, so nothing is signed for it ({rule}); connect to it once yourself, \
             and look at its fingerprint"
        ));
    }
    Ok(Some(SshAgent {
        socket: socket.to_owned(),
        keys,
        hosts,
        sign_git,
        confirm: table.confirm.unwrap_or(false),
        origin: printable(&rule),
    }))
}

/// What the person knows of a host.
fn known(inputs: &Inputs<'_>, host: &SshHost) -> Vec<HostKey> {
    let all = inputs.ssh.iter().flat_map(|ssh| &ssh.known).filter(|known| known.host.0 == *host);
    let mut keys: Vec<_> = all.flat_map(|known| &known.keys).map(|key| key.0.clone()).collect();
    keys.sort();
    keys.dedup();
    keys.truncate(MAX_HOST_KEYS);
    keys
}
