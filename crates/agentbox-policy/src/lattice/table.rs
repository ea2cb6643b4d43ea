//! Every key of the configuration: what it takes, its order, and whose files it may stand in.

use crate::config::LayerKind;

/// A key of the configuration: what it takes and who may set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The key with dots; `NAME` stands for any name.
    pub key: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What holds when it is absent.
    pub default: &'static str,
    /// From loose to tight, or `–` for a key without an order.
    pub order: &'static str,
    /// Whose files it may stand in.
    pub who: &'static [LayerKind],
}

impl Row {
    /// Whether the row is about exactly this key.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        self.covers(key) && self.key.split('.').count() == key.split('.').count()
    }

    /// Whether the row is about this key or one below it.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        let mut row = self.key.split('.');
        key.split('.').all(|part| row.next().is_some_and(|mine| mine == "NAME" || mine == part))
    }

    /// Its first name.
    pub(crate) fn first(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(first, _)| first)
    }

    /// Whether it may stand in such a file.
    #[must_use]
    pub fn may(&self, kind: LayerKind) -> bool {
        self.who.contains(&kind)
    }
}

const ISOLATION: &str = "none < sandbox < vm < remote < managed";
const FILESYSTEM: &str = "host < shared < listed";
const IDENTITY: &str = "caller < leased";
const NETWORK: &str = "host < public < allowlist < none";
const WORKSPACE: &str = "direct < overlay < readonly";
const GATE: &str = "repair < stop";
const TRIFECTA: &str = "warn < confirm < refuse";
const PRIVATE: &str = "false < true";
const GUARD: &str = "off < auto < require";
const CONFIRM: &str = "false < true";
const TRIGGER: &str = "report < freeze";
const SHARED_FILES: &str = "warn < refuse";
const STATE: &str = "profile < project < ephemeral";
const LESS: &str = "smaller is tighter";
const LARGER: &str = "larger is tighter";
const FEWER: &str = "fewer is tighter";
const MORE: &str = "more is tighter";
const NO_ORDER: &str = "–";
const UNBOUND: &str = "no bound";
const SAME: &str = "of `extends`";

const SYSTEM: &[LayerKind] = &[LayerKind::System];
const BOTH: &[LayerKind] = &[LayerKind::System, LayerKind::Person];
const PROJECT: &[LayerKind] = &[LayerKind::Project];

const fn row(
    key: &'static str,
    takes: &'static str,
    default: &'static str,
    order: &'static str,
    who: &'static [LayerKind],
) -> Row {
    Row { key, takes, default, order, who }
}

/// Every key of the configuration.
pub const TABLE: &[Row] = &[
    row("default_posture", "name of a posture", "`L2`", NO_ORDER, BOTH),
    row("uid_range.first", "number", "2001000000", NO_ORDER, SYSTEM),
    row("uid_range.count", "number", "100000000", NO_ORDER, SYSTEM),
    row("users", "list of user names", "none", NO_ORDER, SYSTEM),
    row("resolvers", "list of addresses", "the host's", NO_ORDER, SYSTEM),
    row("said_as.NAME", "text", "the file and the key", NO_ORDER, SYSTEM),
    row("floor.isolation", "value", UNBOUND, ISOLATION, SYSTEM),
    row("floor.filesystem", "value", UNBOUND, FILESYSTEM, SYSTEM),
    row("floor.identity", "value", UNBOUND, IDENTITY, SYSTEM),
    row("floor.network", "value", UNBOUND, NETWORK, SYSTEM),
    row("floor.workspace", "value", UNBOUND, WORKSPACE, SYSTEM),
    row("floor.state", "value", UNBOUND, STATE, SYSTEM),
    row("floor.memory_max", "size", UNBOUND, LESS, SYSTEM),
    row("floor.tasks_max", "number", UNBOUND, LESS, SYSTEM),
    row("floor.cpu_weight", "share", UNBOUND, LESS, SYSTEM),
    row("floor.io_weight", "share", UNBOUND, LESS, SYSTEM),
    row("floor.runtime_max", "time", UNBOUND, LESS, SYSTEM),
    row("floor.idle_stop", "time", UNBOUND, LESS, SYSTEM),
    row("floor.disk_free_min", "size", UNBOUND, LARGER, SYSTEM),
    row("floor.open_files", "number", UNBOUND, LESS, SYSTEM),
    row("floor.tmp_size", "size", UNBOUND, LESS, SYSTEM),
    row("floor.home_size", "size", UNBOUND, LESS, SYSTEM),
    row("floor.upload_max", "size", UNBOUND, LESS, SYSTEM),
    row("floor.name_upload_max", "size", UNBOUND, LESS, SYSTEM),
    row("floor.on_gate_loss", "value", UNBOUND, GATE, SYSTEM),
    row("floor.trifecta", "value", UNBOUND, TRIFECTA, SYSTEM),
    row("floor.guard", "value", UNBOUND, GUARD, SYSTEM),
    row("floor.on_trigger", "value", UNBOUND, TRIGGER, SYSTEM),
    row("floor.on_shared_files", "value", UNBOUND, SHARED_FILES, SYSTEM),
    row("ceiling.read", "list of paths", UNBOUND, FEWER, SYSTEM),
    row("ceiling.write", "list of paths", UNBOUND, FEWER, SYSTEM),
    row("ceiling.env", "list of variables", UNBOUND, FEWER, SYSTEM),
    row("ceiling.allow", "list of hosts", UNBOUND, FEWER, SYSTEM),
    row("ceiling.internal", "list of hosts", UNBOUND, FEWER, SYSTEM),
    row("ceiling.publish", "list of port ranges", UNBOUND, FEWER, SYSTEM),
    row("ceiling.ssh_agent.hosts", "list of hosts of ssh", UNBOUND, FEWER, SYSTEM),
    row("ceiling.ssh_agent.sign", "list of `git`", UNBOUND, FEWER, SYSTEM),
    row("ceiling.ssh_agent.confirm", "`true` or `false`", "`false`", CONFIRM, SYSTEM),
    row("profile.NAME.network", "value", UNBOUND, NETWORK, BOTH),
    row("profile.NAME.workspace", "value", UNBOUND, WORKSPACE, BOTH),
    row("profile.NAME.state", "value", UNBOUND, STATE, BOTH),
    row("profile.NAME.agent", "name of a preset", "`shell`", NO_ORDER, BOTH),
    row("profile.NAME.env.pass", "list of variables", "none", FEWER, BOTH),
    row("profile.NAME.env.set.NAME", "text", "none", NO_ORDER, BOTH),
    row("profile.NAME.env.NAME.file", "path", "none", NO_ORDER, BOTH),
    row("profile.NAME.env.NAME.as", "`env` or `file`", "`env`", NO_ORDER, BOTH),
    row("profile.NAME.env.NAME.git", "name of a host", "none", NO_ORDER, BOTH),
    row("profile.NAME.read", "list of paths", "none", FEWER, BOTH),
    row("profile.NAME.write", "list of paths", "none", FEWER, BOTH),
    row("profile.NAME.allow", "list of hosts", "none", FEWER, BOTH),
    row("profile.NAME.deny", "list of hosts", "none", MORE, BOTH),
    row("profile.NAME.internal", "list of names", "none", FEWER, BOTH),
    row("profile.NAME.publish", "list of ports", "none", FEWER, BOTH),
    row("profile.NAME.upload_max", "size", UNBOUND, LESS, BOTH),
    row("profile.NAME.name_upload_max", "size", UNBOUND, LESS, BOTH),
    row("profile.NAME.on_gate_loss", "value", UNBOUND, GATE, BOTH),
    row("profile.NAME.trifecta", "value", UNBOUND, TRIFECTA, BOTH),
    row("profile.NAME.private", "true or false", "by what it has", PRIVATE, BOTH),
    row("profile.NAME.guard", "value", UNBOUND, GUARD, BOTH),
    row("profile.NAME.on_trigger", "value", UNBOUND, TRIGGER, BOTH),
    row("profile.NAME.on_shared_files", "value", UNBOUND, SHARED_FILES, BOTH),
    row("profile.NAME.mask", "list of patterns", "none", MORE, BOTH),
    row("profile.NAME.unmask", "list of patterns", "none", FEWER, BOTH),
    row("profile.NAME.git_dirs", "list of paths", "none", FEWER, BOTH),
    row("profile.NAME.git.name", "text", "the person's", NO_ORDER, BOTH),
    row("profile.NAME.git.email", "text", "the person's", NO_ORDER, BOTH),
    row("profile.NAME.skills", "list of pinned paths", "none", NO_ORDER, BOTH),
    row("profile.NAME.mcp", "pinned path", "none", NO_ORDER, BOTH),
    row("profile.NAME.instructions", "pinned path", "the preset's", NO_ORDER, BOTH),
    row("profile.NAME.settings", "pinned path", "the preset's", NO_ORDER, BOTH),
    row("profile.NAME.persist", "list of kept things", "by `state`", FEWER, BOTH),
    row("profile.NAME.ssh_agent.keys", "list of fingerprints", "none", FEWER, BOTH),
    row("profile.NAME.ssh_agent.hosts", "list of hosts of ssh", "none", FEWER, BOTH),
    row("profile.NAME.ssh_agent.sign", "list of `git`", "none", FEWER, BOTH),
    row("profile.NAME.ssh_agent.confirm", "`true` or `false`", "`false`", CONFIRM, BOTH),
    row("project.NAME.path", "path", "required", NO_ORDER, BOTH),
    row("project.NAME.profile", "name of a profile", "none", NO_ORDER, BOTH),
    row("project.NAME.posture", "name of a posture", "`default_posture`", NO_ORDER, BOTH),
    row("project.NAME.network", "value", UNBOUND, NETWORK, BOTH),
    row("project.NAME.workspace", "value", UNBOUND, WORKSPACE, BOTH),
    row("project.NAME.state", "value", UNBOUND, STATE, BOTH),
    row("project.NAME.agent", "name of a preset", "the profile's", NO_ORDER, BOTH),
    row("project.NAME.read", "list of paths", "none", FEWER, BOTH),
    row("project.NAME.write", "list of paths", "none", FEWER, BOTH),
    row("project.NAME.allow", "list of hosts", "none", FEWER, BOTH),
    row("project.NAME.deny", "list of hosts", "none", MORE, BOTH),
    row("project.NAME.internal", "list of names", "none", FEWER, BOTH),
    row("project.NAME.publish", "list of ports", "none", FEWER, BOTH),
    row("project.NAME.memory_max", "size", UNBOUND, LESS, BOTH),
    row("project.NAME.tasks_max", "number", UNBOUND, LESS, BOTH),
    row("project.NAME.cpu_weight", "share", UNBOUND, LESS, BOTH),
    row("project.NAME.io_weight", "share", UNBOUND, LESS, BOTH),
    row("project.NAME.runtime_max", "time", UNBOUND, LESS, BOTH),
    row("project.NAME.idle_stop", "time", UNBOUND, LESS, BOTH),
    row("project.NAME.disk_free_min", "size", UNBOUND, LARGER, BOTH),
    row("project.NAME.upload_max", "size", UNBOUND, LESS, BOTH),
    row("project.NAME.name_upload_max", "size", UNBOUND, LESS, BOTH),
    row("project.NAME.on_gate_loss", "value", UNBOUND, GATE, BOTH),
    row("project.NAME.trifecta", "value", UNBOUND, TRIFECTA, BOTH),
    row("project.NAME.private", "true or false", "by what it has", PRIVATE, BOTH),
    row("project.NAME.guard", "value", UNBOUND, GUARD, BOTH),
    row("project.NAME.on_trigger", "value", UNBOUND, TRIGGER, BOTH),
    row("project.NAME.on_shared_files", "value", UNBOUND, SHARED_FILES, BOTH),
    row("project.NAME.mask", "list of patterns", "none", MORE, BOTH),
    row("project.NAME.unmask", "list of patterns", "none", FEWER, BOTH),
    row("project.NAME.git_dirs", "list of paths", "none", FEWER, BOTH),
    row("posture.NAME.extends", "name of a posture", "`L2`", NO_ORDER, BOTH),
    row("posture.NAME.isolation", "value", SAME, ISOLATION, BOTH),
    row("posture.NAME.filesystem", "value", SAME, FILESYSTEM, BOTH),
    row("posture.NAME.identity", "value", SAME, IDENTITY, BOTH),
    row("posture.NAME.network", "value", SAME, NETWORK, BOTH),
    row("posture.NAME.workspace", "value", SAME, WORKSPACE, BOTH),
    row("posture.NAME.state", "value", SAME, STATE, BOTH),
    row("posture.NAME.memory_max", "size", SAME, LESS, BOTH),
    row("posture.NAME.tasks_max", "number", SAME, LESS, BOTH),
    row("posture.NAME.cpu_weight", "share", SAME, LESS, BOTH),
    row("posture.NAME.io_weight", "share", SAME, LESS, BOTH),
    row("posture.NAME.runtime_max", "time", SAME, LESS, BOTH),
    row("posture.NAME.idle_stop", "time", SAME, LESS, BOTH),
    row("posture.NAME.disk_free_min", "size", SAME, LARGER, BOTH),
    row("posture.NAME.open_files", "number", SAME, LESS, BOTH),
    row("posture.NAME.tmp_size", "size", SAME, LESS, BOTH),
    row("posture.NAME.home_size", "size", SAME, LESS, BOTH),
    row("posture.NAME.upload_max", "size", SAME, LESS, BOTH),
    row("posture.NAME.name_upload_max", "size", SAME, LESS, BOTH),
    row("posture.NAME.on_gate_loss", "value", SAME, GATE, BOTH),
    row("posture.NAME.trifecta", "value", SAME, TRIFECTA, BOTH),
    row("posture.NAME.guard", "value", SAME, GUARD, BOTH),
    row("posture.NAME.on_trigger", "value", SAME, TRIGGER, BOTH),
    row("posture.NAME.on_shared_files", "value", SAME, SHARED_FILES, BOTH),
    row("isolation", "value", UNBOUND, ISOLATION, PROJECT),
    row("filesystem", "value", UNBOUND, FILESYSTEM, PROJECT),
    row("identity", "value", UNBOUND, IDENTITY, PROJECT),
    row("network", "value", UNBOUND, NETWORK, PROJECT),
    row("workspace", "value", UNBOUND, WORKSPACE, PROJECT),
    row("state", "value", UNBOUND, STATE, PROJECT),
    row("memory_max", "size", UNBOUND, LESS, PROJECT),
    row("tasks_max", "number", UNBOUND, LESS, PROJECT),
    row("cpu_weight", "share", UNBOUND, LESS, PROJECT),
    row("io_weight", "share", UNBOUND, LESS, PROJECT),
    row("runtime_max", "time", UNBOUND, LESS, PROJECT),
    row("idle_stop", "time", UNBOUND, LESS, PROJECT),
    row("disk_free_min", "size", UNBOUND, LARGER, PROJECT),
    row("open_files", "number", UNBOUND, LESS, PROJECT),
    row("tmp_size", "size", UNBOUND, LESS, PROJECT),
    row("home_size", "size", UNBOUND, LESS, PROJECT),
    row("upload_max", "size", UNBOUND, LESS, PROJECT),
    row("name_upload_max", "size", UNBOUND, LESS, PROJECT),
    row("on_gate_loss", "value", UNBOUND, GATE, PROJECT),
    row("trifecta", "value", UNBOUND, TRIFECTA, PROJECT),
    row("private", "true or false", "by what it has", PRIVATE, PROJECT),
    row("guard", "value", UNBOUND, GUARD, PROJECT),
    row("on_trigger", "value", UNBOUND, TRIGGER, PROJECT),
    row("on_shared_files", "value", UNBOUND, SHARED_FILES, PROJECT),
    row("mask", "list of patterns", "none", MORE, PROJECT),
    row("read", "list of paths", UNBOUND, FEWER, PROJECT),
    row("write", "list of paths", UNBOUND, FEWER, PROJECT),
    row("allow", "list of hosts", UNBOUND, FEWER, PROJECT),
    row("deny", "list of hosts", "none", MORE, PROJECT),
    row("env.pass", "list of variables", UNBOUND, FEWER, PROJECT),
];
