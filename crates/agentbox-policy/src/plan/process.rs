//! What runs: command, environment, directory.

use super::tree::Tree;
use super::{Facts, c_string, ignored, inner, made};
use crate::environment::{GIT, MAX_VARIABLE_BYTES};
use crate::paths::is_normal;
use crate::{Policy, PolicyError, Workspace};
use agentbox_plan::Process;
use agentbox_plan::keys::SOCKET;
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// Where programs are on a host, the usual first.
const USUAL: &[&str] = &[
    "/run/current-system/sw/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

const SHELL: &str = "/bin/sh";

/// The process of a session; without a tree it sees the host's files.
pub(super) fn process(policy: &Policy, facts: &Facts, tree: Option<&Tree>) -> Result<Process, PolicyError> {
    let shell = shell(policy, tree);
    let count = policy.environment.get("GIT_CONFIG_COUNT").map(|variable| variable.value.as_str());
    let ignored = tree.and_then(|tree| ignored::variables(tree, count));
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    for (name, variable) in &policy.environment {
        variables.insert(name, variable.value.clone());
    }
    let user = if tree.is_some_and(|tree| tree.has("/etc/passwd")) {
        made::user_name(policy)
    } else {
        &policy.person.name
    };
    for (name, secret) in &facts.secrets {
        variables.insert(name, secret.0.clone());
    }
    let in_place = tree.is_some() && policy.workspace() == Workspace::Direct;
    if in_place {
        // Its settings of git stand with those that every session has.
        for (name, value) in GIT.into_iter().filter(|(name, _)| !name.starts_with("GIT_CONFIG_")) {
            variables.entry(name).or_insert_with(|| value.to_owned());
        }
    }
    for (name, value) in ignored.iter().flatten() {
        variables.insert(name, value.clone());
    }
    variables.insert("HOME", policy.person.home.clone());
    variables.insert("USER", user.to_owned());
    variables.insert("LOGNAME", user.to_owned());
    variables.insert("SHELL", shell.clone());
    variables.insert("PATH", search_path(policy, tree));
    if policy.ssh_agent.is_some() {
        variables.insert("SSH_AUTH_SOCK", SOCKET.to_owned());
    }
    let environment: Result<_, _> =
        variables.iter().map(|(name, value)| c_string(variable(name, value))).collect();
    // Values of secrets are among them.
    variables.values_mut().for_each(Zeroize::zeroize);
    let arguments = match policy.command.value.as_slice() {
        [] => vec![c_string(shell)?],
        words => words.iter().map(|word| c_string(word.as_str())).collect::<Result<_, _>>()?,
    };
    Ok(Process {
        arguments,
        environment: environment?,
        directory: inner(&policy.place.path)?,
        streams: facts.streams,
        size: facts.size,
    })
}

/// In one piece, with room for what is put behind it.
fn variable(name: &str, value: &str) -> String {
    let mut text = String::with_capacity(name.len() + value.len() + 2);
    text.extend([name, "=", value]);
    text
}

/// The person's shell where it is there and one, else `/bin/sh`.
pub(super) fn shell(policy: &Policy, tree: Option<&Tree>) -> String {
    let shell = policy.person.shell.as_str();
    let is_one = is_normal(shell)
        && !shell.chars().any(|character| character.is_control() || character == ':')
        && !shell.ends_with("/nologin")
        && !shell.ends_with("/false");
    let there = tree.is_none_or(|tree| tree.is_visible(shell));
    if is_one && there { shell.to_owned() } else { SHELL.to_owned() }
}

/// The caller's search path, without what is not there.
fn search_path(policy: &Policy, tree: Option<&Tree>) -> String {
    let mut entries: Vec<&str> = Vec::new();
    let mut add = |entry| {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    };
    let there = |entry: &&str| match tree {
        None => is_normal(entry),
        Some(tree) => tree.is_visible(entry) || tree.holds_visible(entry),
    };
    let callers = policy.caller_path.as_deref().unwrap_or("");
    // Half of the longest variable: the rest is for what is added.
    if callers.len() < MAX_VARIABLE_BYTES / 2 && !callers.contains('\0') {
        callers.split(':').filter(|entry| is_normal(entry)).filter(there).for_each(&mut add);
    }
    // Where a preset's program is, for callers that do not have it in theirs.
    if let Some(tree) = tree {
        for grant in policy.grants.iter().filter(|grant| grant.preset) {
            let path = grant.path.as_str();
            let directory = match path.rsplit_once('/') {
                Some((_, "bin")) => path,
                Some((directory, _)) if directory.ends_with("/bin") => directory,
                _ => continue,
            };
            if tree.is_visible(path) {
                add(directory);
            }
        }
    }
    if entries.is_empty() || !entries.iter().any(|entry| USUAL.contains(entry)) {
        let usual: Vec<_> = USUAL.iter().copied().filter(there).collect();
        entries.extend(usual);
    }
    if entries.is_empty() {
        entries.extend(["/usr/bin", "/bin"]);
    }
    entries.join(":")
}
