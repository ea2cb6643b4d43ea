//! A policy: every value of a session with its origin.

use crate::agent::SshAgent;
use crate::config::{Pattern, Time};
use crate::kept::Kept;
use crate::lattice::{FreeSpace, Guard, Key, OnGateLoss, OnSharedFiles, OnTrigger, Upload};
use crate::legs::Legs;
use crate::pins::Pin;
use crate::reach::{ForeignName, Reach};
use crate::render::Rendered;
use crate::secrets::SecretGrant;
use crate::text::printable;
use crate::{
    Filesystem, Identity, Isolation, Layer, Network, Person, PolicyError, ProjectFacts, Publish, Settings,
    State, Workspace,
};
use agentbox_plan::look::Masks;
use agentbox_plan::net::Rules;
use std::collections::BTreeMap;

/// A value of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Which.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// Where it comes from: `FILE: KEY`, `built-in: L2`, `preset claude`, `command line`.
    pub origin: String,
}

/// A limit for the session's control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The limit.
    pub value: u64,
    /// Whether somebody configured it. Such a limit must be enforced or the start refused; one that is
    /// built in may be shown as not enforced.
    pub configured: bool,
}

/// Something with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) origin: String,
}

impl<T> Sourced<T> {
    pub(crate) fn new(value: T, origin: impl Into<String>) -> Self {
        Self { value, origin: origin.into() }
    }
}

/// A path of the host that a session sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) path: String,
    pub(crate) write: bool,
    /// From a preset: what is missing is left out and a symbolic link stays one.
    pub(crate) preset: bool,
    /// A git directory or an object store of the project's.
    pub(crate) git: bool,
    pub(crate) origin: String,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// It is the caller's; its value is no part of the policy.
    pub(crate) passed: bool,
    pub(crate) origin: String,
}

/// Origin of what nobody configured.
pub(crate) const BUILT_IN: &str = "built-in";

/// Everything resolved for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(crate) posture: Sourced<String>,
    pub(crate) held: Held,
    pub(crate) settings: Settings,
    pub(crate) origins: BTreeMap<Key, String>,
    pub(crate) profile: Option<Sourced<String>>,
    pub(crate) project: Option<Sourced<String>>,
    pub(crate) place: ProjectFacts,
    pub(crate) person: Person,
    pub(crate) agent: Sourced<String>,
    /// Empty is the person's shell.
    pub(crate) command: Sourced<Vec<String>>,
    pub(crate) session: Option<String>,
    /// Directories below the home that the agent keeps its own files in.
    pub(crate) own_directories: Vec<String>,
    /// Sorted by path, each path once.
    pub(crate) grants: Vec<Grant>,
    pub(crate) environment: BTreeMap<String, Variable>,
    pub(crate) reach: Reach,
    pub(crate) legs: Legs,
    /// With those of other sessions on the project.
    pub(crate) shared_legs: Legs,
    /// What of the agent's own files outlives the session.
    pub(crate) kept: Vec<Sourced<Kept>>,
    /// What the profile puts into it.
    pub(crate) pins: Vec<Pin>,
    /// Secrets that it gets from files.
    pub(crate) secrets: Vec<SecretGrant>,
    /// Files that say how the agent behaves.
    pub(crate) rendered: Vec<Rendered>,
    /// What the project's own file holds, now and when it was last accepted.
    pub(crate) project_file: Option<Layer>,
    pub(crate) ssh_agent: Option<SshAgent>,
    /// What is hidden in the project because somebody wrote it, and what is shown because somebody did.
    pub(crate) mask: Vec<Sourced<Pattern>>,
    pub(crate) unmask: Vec<Sourced<Pattern>>,
    pub(crate) caller_path: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// The settings that every posture gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) isolation: Isolation,
    pub(crate) filesystem: Filesystem,
    pub(crate) identity: Identity,
    pub(crate) network: Network,
    pub(crate) workspace: Workspace,
    pub(crate) state: State,
}

impl Held {
    /// What is asked of the kernel's guard.
    pub(crate) fn guard(self, settings: &Settings) -> Guard {
        match (self.isolation, self.workspace) {
            (Isolation::Sandbox, Workspace::Direct) => settings.guard.unwrap_or(Guard::Off),
            _ => Guard::Off,
        }
    }

    pub(crate) fn of(settings: &Settings) -> Result<Self, PolicyError> {
        let missing = |key: &str| PolicyError::Invalid { what: format!("no posture gives `{key}`") };
        Ok(Self {
            isolation: settings.isolation.ok_or_else(|| missing("isolation"))?,
            filesystem: settings.filesystem.ok_or_else(|| missing("filesystem"))?,
            identity: settings.identity.ok_or_else(|| missing("identity"))?,
            network: settings.network.ok_or_else(|| missing("network"))?,
            workspace: settings.workspace.ok_or_else(|| missing("workspace"))?,
            state: settings.state.ok_or_else(|| missing("state"))?,
        })
    }
}

impl Policy {
    /// Name of the posture.
    #[must_use]
    pub fn posture_name(&self) -> &str {
        &self.posture.value
    }
    /// What holds the session.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.held.isolation
    }
    /// Which files exist inside.
    #[must_use]
    pub fn filesystem(&self) -> Filesystem {
        self.held.filesystem
    }
    /// Under which user the agent runs.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.held.identity
    }
    /// What the agent reaches.
    #[must_use]
    pub fn network(&self) -> Network {
        self.held.network
    }
    /// How the project can be changed.
    #[must_use]
    pub fn workspace(&self) -> Workspace {
        self.held.workspace
    }
    /// What of the agent's own files outlives the session.
    #[must_use]
    pub fn state(&self) -> State {
        self.held.state
    }
    /// Name of the profile; none for a path that is bound to none.
    #[must_use]
    pub fn profile_name(&self) -> Option<&str> {
        self.profile.as_ref().map(|profile| profile.value.as_str())
    }
    /// Name of the project, or its real path.
    #[must_use]
    pub fn project_name(&self) -> &str {
        self.project.as_ref().map_or(&self.place.path, |project| &project.value)
    }
    /// Real path of the project.
    #[must_use]
    pub fn project_path(&self) -> &str {
        &self.place.path
    }
    /// Name of the agent's preset.
    #[must_use]
    pub fn agent_name(&self) -> &str {
        &self.agent.value
    }
    /// Name for the session, when one was asked for.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        self.session.as_deref()
    }
    /// Whom the session belongs to.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.person
    }
    /// What the profile puts into the session.
    #[must_use]
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }
    /// Secrets that the session gets from files.
    #[must_use]
    pub fn secrets(&self) -> &[SecretGrant] {
        &self.secrets
    }
    /// Paths inside of the agent's own directories.
    #[must_use]
    pub fn own_directories(&self) -> Vec<String> {
        let home = &self.person.home;
        self.own_directories.iter().map(|directory| format!("{home}/{directory}")).collect()
    }
    /// What of the agent's own files outlives the session.
    pub fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().map(|kept| &kept.value)
    }
    /// What the project's own file holds: what is accepted with a start of this policy.
    #[must_use]
    pub fn project_file(&self) -> Option<&Layer> {
        self.project_file.as_ref()
    }
    /// Most bytes of memory of the whole session.
    #[must_use]
    pub fn memory_max(&self) -> Option<Limit> {
        self.limit(Key::MemoryMax, self.settings.memory_max?.get())
    }
    /// Most processes and threads of the whole session.
    #[must_use]
    pub fn tasks_max(&self) -> Option<Limit> {
        self.limit(Key::TasksMax, self.settings.tasks_max?.get())
    }
    /// Share of the processors, where others have 100.
    #[must_use]
    pub fn cpu_weight(&self) -> Option<Limit> {
        self.limit(Key::CpuWeight, self.settings.cpu_weight?.get())
    }
    /// Share of the disks, where others have 100.
    #[must_use]
    pub fn io_weight(&self) -> Option<Limit> {
        self.limit(Key::IoWeight, self.settings.io_weight?.get())
    }
    /// Seconds after which the session is stopped.
    #[must_use]
    pub fn runtime_max(&self) -> Option<u64> {
        self.settings.runtime_max.map(Time::get)
    }
    /// Seconds without work after which the session is stopped.
    #[must_use]
    pub fn idle_stop(&self) -> Option<u64> {
        self.settings.idle_stop.map(Time::get)
    }
    /// Bytes that stay free where the project is.
    #[must_use]
    pub fn disk_free_min(&self) -> Option<u64> {
        self.settings.disk_free_min.map(FreeSpace::get)
    }
    /// Whether the session has a network gate.
    #[must_use]
    pub fn has_gate(&self) -> bool {
        self.reach.mode.is_some()
    }
    /// What the session may reach. Nothing, for one without a gate.
    #[must_use]
    pub fn network_rules(&self) -> &Rules {
        &self.reach.rules
    }
    /// Ports of the session that are published on the host's loopback, each port of the host once.
    #[must_use]
    pub fn publish(&self) -> &[Publish] {
        &self.reach.publish
    }
    /// Most bytes that the session sends.
    #[must_use]
    pub fn upload_max(&self) -> Option<u64> {
        self.settings.upload_max.map(Upload::get)
    }
    /// Most bytes that the session sends to one name or address.
    #[must_use]
    pub fn name_upload_max(&self) -> Option<u64> {
        self.settings.name_upload_max.map(Upload::get)
    }
    /// What happens when the session's gate ends before the session.
    #[must_use]
    pub fn on_gate_loss(&self) -> OnGateLoss {
        self.settings.on_gate_loss.unwrap_or(OnGateLoss::Repair)
    }
    /// Whether the kernel refuses trigger files in the project. Only a project that is changed in place
    /// has something to refuse.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.held.guard(&self.settings)
    }
    /// The session's ssh-agent.
    #[must_use]
    pub fn ssh_agent(&self) -> Option<&SshAgent> {
        self.ssh_agent.as_ref()
    }
    /// What happens when a trigger file appears in the project and the kernel does not refuse it.
    #[must_use]
    pub fn on_trigger(&self) -> OnTrigger {
        self.settings.on_trigger.unwrap_or(OnTrigger::Report)
    }
    /// What happens when files of the project are shared with others.
    #[must_use]
    pub fn on_shared_files(&self) -> OnSharedFiles {
        self.settings.on_shared_files.unwrap_or(OnSharedFiles::Warn)
    }
    /// Git directories and object stores outside of the project, each with the rule that names it.
    pub fn git_dirs(&self) -> impl Iterator<Item = (&str, &str)> {
        let git = self.grants.iter().filter(|grant| grant.git);
        git.map(|grant| (grant.path.as_str(), grant.origin.as_str()))
    }
    /// What is hidden in the project.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] when the list of this build cannot be read.
    pub fn masks(&self) -> Result<Masks, PolicyError> {
        let globs =
            |list: &[Sourced<Pattern>]| list.iter().filter_map(|pattern| pattern.value.glob()).collect();
        let built_in = crate::project::built_in_secrets()?;
        let mut except = built_in.shown.clone();
        except.extend::<Vec<_>>(globs(&self.unmask));
        Ok(Masks { patterns: built_in.hidden.clone(), except, always: globs(&self.mask) })
    }
    /// The rule that says so.
    #[must_use]
    pub fn guard_origin(&self) -> &str {
        self.origins.get(&Key::Guard).map_or(BUILT_IN, String::as_str)
    }
    /// Hosts that a rule allows and that serve what strangers wrote.
    #[must_use]
    pub fn foreign_names(&self) -> &[ForeignName] {
        &self.reach.foreign
    }
    /// What a person should know and nothing refuses.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn limit(&self, key: Key, value: u64) -> Option<Limit> {
        let origin = self.origins.get(&key)?;
        Some(Limit { value, configured: !origin.starts_with(BUILT_IN) })
    }

    /// Every value with its origin. Values of variables are not told: they may be secrets.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let mut values = Vec::new();
        let mut add = |key: &str, value: &str, origin: &str| {
            let value = printable(value);
            values.push(Value { key: key.to_owned(), value, origin: printable(origin) });
        };
        add("posture", &self.posture.value, &self.posture.origin);
        for setting in self.settings.iter() {
            let key = setting.key();
            let origin = self.origins.get(&key).map_or(BUILT_IN, String::as_str);
            add(key.as_str(), &setting.to_string(), origin);
        }
        match &self.profile {
            Some(profile) => add("profile", &profile.value, &profile.origin),
            None => add("profile", "none", "built-in: no profile"),
        }
        match &self.project {
            Some(project) => add("project", &project.value, &project.origin),
            None => add("project", "none", BUILT_IN),
        }
        add("path", &self.place.path, "command line");
        add("agent", &self.agent.value, &self.agent.origin);
        let command = match self.command.value.as_slice() {
            [] => "the shell".to_owned(),
            command => command.join(" "),
        };
        add("command", &command, &self.command.origin);
        for grant in &self.grants {
            let key = if grant.git {
                "git_dirs"
            } else if grant.write {
                "write"
            } else {
                "read"
            };
            add(key, &grant.path, &grant.origin);
        }
        for (key, list) in [("mask", &self.mask), ("unmask", &self.unmask)] {
            for pattern in list {
                add(key, pattern.value.as_str(), &pattern.origin);
            }
        }
        for pin in &self.pins {
            add("pinned", &format!("{} at {}", pin.path, pin.inside), &pin.origin);
        }
        for secret in &self.secrets {
            add("secret", &secret.words(), &secret.origin);
        }
        for kept in &self.kept {
            let scope =
                if kept.value.store.iter().any(|name| name == "shared") { "profile" } else { "project" };
            add("persist", &format!("{} (for the {scope})", kept.value.name), &kept.origin);
        }
        for file in &self.rendered {
            let how = if file.seed {
                "begins as made for this session"
            } else {
                "made for this session, read-only"
            };
            add("settings", &format!("{} ({how})", file.path), &format!("preset {}", self.agent.value));
        }
        for value in self.reach.values().into_iter().chain(self.ssh_agent.iter().flat_map(SshAgent::values)) {
            add(&value.key, &value.value, &value.origin);
        }
        for (name, variable) in &self.environment {
            let how = if variable.passed { "passed" } else { "set" };
            add(&format!("env.{name}"), how, &variable.origin);
        }
        values
    }

    /// 16 hexadecimal digits that are equal for equal policies, wherever their values come from.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Fnv::new();
        let mut add = |text: &str| {
            hash.add(&(text.len() as u64).to_le_bytes());
            hash.add(text.as_bytes());
        };
        add(&self.posture.value);
        for setting in self.settings.iter() {
            add(setting.key().as_str());
            add(&setting.to_string());
        }
        add(self.profile_name().unwrap_or(""));
        add(self.project_name());
        add(&self.place.path);
        add(&self.person.uid.to_string());
        add(&self.person.home);
        add(&self.agent.value);
        for word in &self.command.value {
            add("command");
            add(word);
        }
        for grant in &self.grants {
            add(if grant.git {
                "git"
            } else if grant.write {
                "write"
            } else {
                "read"
            });
            add(&grant.path);
        }
        for pin in &self.pins {
            add("pinned");
            add(&pin.path);
            add(pin.hash.as_deref().unwrap_or(""));
            add(&pin.inside);
        }
        for secret in &self.secrets {
            add("secret");
            add(&secret.words());
        }
        for kept in self.kept() {
            add("kept");
            add(&kept.name);
            add(&kept.store.join("/"));
        }
        for file in &self.rendered {
            add("settings");
            add(&file.path);
            add(&file.content);
        }
        for (key, list) in [("mask", &self.mask), ("unmask", &self.unmask)] {
            for pattern in list {
                add(key);
                add(pattern.value.as_str());
            }
        }
        for word in self.reach.words() {
            add("reach");
            add(&word);
        }
        for word in self.ssh_agent.iter().flat_map(SshAgent::words) {
            add("ssh_agent");
            add(&word);
        }
        for (name, variable) in &self.environment {
            add(if variable.passed { "passed" } else { "set" });
            add(name);
            if !variable.passed {
                add(&variable.value);
            }
        }
        let whole = hash.finish();
        format!("{:016x}", (whole >> 64) as u64 ^ whole as u64)
    }
}

/// FNV-1a with 128 bits (draft-eastlake-fnv): tells values apart, keeps no secret.
#[derive(Debug)]
pub(crate) struct Fnv(u128);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    pub(crate) fn finish(&self) -> u128 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Published test vector of FNV-1a/128 for "a".
        let mut hash = Fnv::new();
        hash.add(b"a");
        assert_eq!(hash.finish(), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
