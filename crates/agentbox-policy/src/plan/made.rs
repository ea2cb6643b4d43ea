//! The content of files that agentbox makes where only what is listed exists.

use super::{Facts, names, owners};
use crate::Policy;
use crate::policy::Fnv;
use std::fmt::Write;

/// The person's name, when it can stand in /etc/passwd beside the ones that are always there.
pub(super) fn user_name(policy: &Policy) -> &str {
    let name = policy.person.name.as_str();
    if fits(name) && !matches!(name, "root" | "nobody") { name } else { "agent" }
}

/// Fields of passwd(5) and group(5) end at `:` and at the end of the line.
fn fits(name: &str) -> bool {
    let odd = |character: char| character.is_control() || matches!(character, ':' | ',' | '/' | ' ');
    (1..=256).contains(&name.len()) && !name.contains(odd) && !name.starts_with(['-', '+'])
}

/// The host name inside: what was given, when it is one (hostname(7)).
pub(super) fn hostname(facts: &Facts) -> &str {
    let name = facts.hostname.as_str();
    let fits = (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if fits { name } else { "agentbox" }
}

/// The file of this path; none that agentbox does not make.
pub(super) fn content(path: &str, policy: &Policy, facts: &Facts, shell: &str) -> Option<String> {
    let name = user_name(policy);
    Some(match path {
        "/etc/passwd" => {
            let (uid, gid) = match policy.identity() {
                crate::Identity::Caller => (policy.person.uid, policy.person.gid),
                crate::Identity::Leased => (facts.lease_first, facts.lease_first),
            };
            let home = &policy.person.home;
            format!(
                "root:x:0:0:root:/root:/bin/sh\n{name}:x:{uid}:{gid}::{home}:{shell}\n\
                 nobody:x:65534:65534:nobody:/:/bin/sh\n"
            )
        }
        "/etc/group" => group(policy, facts),
        "/etc/hostname" => format!("{}\n", hostname(facts)),
        "/etc/hosts" => format!(
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {}\n",
            hostname(facts)
        ),
        // One of its own: the host's would tell sessions of one machine that they are.
        "/etc/machine-id" => {
            let mut hash = Fnv::new();
            hash.add(b"agentbox machine-id ");
            hash.add(facts.session.as_str().as_bytes());
            format!("{:032x}\n", hash.finish())
        }
        "/etc/nsswitch.conf" => {
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
             protocols: files\nservices: files\nethers: files\nrpc: files\n"
                .to_owned()
        }
        "/etc/resolv.conf" if policy.has_gate() => names::RESOLV_CONF.to_owned(),
        "/etc/resolv.conf" => "# This session has no network.\n".to_owned(),
        _ => return None,
    })
}

fn group(policy: &Policy, facts: &Facts) -> String {
    let mut text = "root:x:0:\n".to_owned();
    let mut names = vec!["root".to_owned(), "nogroup".to_owned()];
    for (inside, on_host) in owners::groups_inside(policy, facts) {
        if matches!(inside, 0 | 65534) {
            continue;
        }
        let known = facts.resolved_groups.iter().find(|(gid, _)| *gid == on_host);
        let name = match known {
            Some((_, name)) if fits(name) && !names.contains(name) => name.clone(),
            _ => format!("group{inside}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name}:x:{inside}:");
        names.push(name);
    }
    text.push_str("nogroup:x:65534:\n");
    text
}
