//! What in a directory should make a person think before an agent works in it.
//!
//! Everything is read here, with bounds and beneath the directory, through no link: no git and no other
//! program is run over what somebody else configured. What is found is told as it is written; what it means
//! for a session is decided by the policy.
//!
//! | file | holds |
//! |---|---|
//! | `tree` | the walk, and reading one file |
//! | `settings` | what agents' own settings say |
//! | `servers` | tool servers, in every agent's spelling |
//! | `repository` | git's configuration and log, read without git |

pub(crate) mod repository;
mod servers;
pub(crate) mod settings;
mod tree;

pub(crate) use repository::Names;
pub(crate) use tree::Depth;

use agentbox_policy::{Finding, Inspection, MAX_FINDINGS, Sign};
use std::os::fd::AsFd;
use tree::{Entry, Tree};

/// Longest text of a finding, in characters.
const LONGEST: usize = 200;

/// Files in which agents find their instructions, by the actors of the list of triggers.
const AGENTS: &[&str] = &["claude", "codex", "gemini", "opencode", "cursor", "other-agents"];

/// Looks into a directory. `names` is how the person is called where repositories are kept.
pub(crate) fn look(directory: impl AsFd, names: &Names, depth: Depth) -> Inspection {
    let mut notes = Notes::default();
    let repository = repository::look(&directory, names, &mut notes);
    let mut links = Group::default();
    let mut sockets = Group::default();
    let mut set_id = Group::default();
    let own_uid = rustix::process::geteuid().as_raw();
    let tree = Tree::walk(&directory, depth, |entry| {
        match entry.kind() {
            tree::Kind::Socket => return sockets.add(entry),
            tree::Kind::Other => return,
            tree::Kind::File => {}
        }
        if entry.is_set_id() {
            set_id.add(entry);
        }
        if depth == Depth::Whole && entry.links > 1 {
            links.add(entry);
        }
        look_at(entry, &mut notes);
        if is_instruction(entry) {
            let whose = match (entry.uid == own_uid, repository.stranger) {
                (false, _) => format!("belongs to uid {}", entry.uid),
                (true, true) => "written by whoever wrote the project".to_owned(),
                (true, false) => return,
            };
            notes.add(Sign::Instructions, entry.path(), whose);
        }
    });
    links.tell(
        Sign::HardLink,
        "has another name: what is written there may be written elsewhere",
        &mut notes,
    );
    sockets.tell(Sign::Socket, "a program of this machine listens there", &mut notes);
    set_id.tell(Sign::SetId, "runs with its owner's rights", &mut notes);
    if let Some(what) = tree.cut {
        notes.add(Sign::Unread, ".", what);
    }
    Inspection { findings: notes.findings }
}

/// Whether a directory plainly has nothing at its top that is looked at. Only names are read.
pub(crate) fn is_plain(directory: impl AsFd) -> bool {
    let Ok(listing) = rustix::fs::Dir::read_from(directory) else { return false };
    // Hidden ones hold settings, capitals instructions.
    let plain =
        |name: &[u8]| name.first().is_some_and(u8::is_ascii_lowercase) && !name.starts_with(b"opencode");
    listing.take(1024).all(|entry| {
        entry.is_ok_and(|entry| {
            let kind = entry.file_type();
            let usual = matches!(kind, rustix::fs::FileType::Directory | rustix::fs::FileType::RegularFile);
            let name = entry.file_name().to_bytes();
            matches!(name, b"." | b"..") || (usual && plain(name))
        })
    })
}

/// What has been found.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) findings: Vec<Finding>,
}

impl Notes {
    fn add(&mut self, sign: Sign, place: impl Into<String>, what: impl Into<String>) {
        let finding = Finding { sign, place: short(&place.into()), what: short(&what.into()) };
        if self.findings.len() < MAX_FINDINGS - 4 && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// What was written by whoever wrote the project is told up to a length.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Many of the same, of which the first is named.
#[derive(Debug, Default)]
struct Group {
    first: Option<String>,
    count: usize,
}

impl Group {
    fn add(&mut self, entry: &Entry<'_>) {
        self.count += 1;
        self.first.get_or_insert_with(|| entry.path());
    }

    fn tell(self, sign: Sign, what: &str, notes: &mut Notes) {
        let Some(first) = self.first else { return };
        let more = if self.count > 1 { format!("; and {} more", self.count - 1) } else { String::new() };
        notes.add(sign, first, format!("{what}{more}"));
    }
}

fn is_instruction(entry: &Entry<'_>) -> bool {
    let Ok(triggers) = agentbox_policy::built_in_triggers() else { return false };
    let trigger = triggers.find(entry.names());
    trigger.is_some_and(|trigger| {
        trigger.hold == agentbox_plan::trigger::Hold::Report && AGENTS.contains(&trigger.actor.as_str())
    })
}

/// What a file says, when it is one that an agent obeys.
fn look_at(entry: &Entry<'_>, notes: &mut Notes) {
    let names: Vec<&str> = entry.names().iter().filter_map(|name| std::str::from_utf8(name).ok()).collect();
    if names.len() != entry.names().len() {
        return;
    }
    match names.as_slice() {
        [.., ".claude", "settings.json" | "settings.local.json"] => json(entry, notes, settings::claude),
        [.., ".mcp.json"] | [.., ".cursor" | ".roo" | ".windsurf", "mcp.json"] => {
            json(entry, notes, |value, place, notes| servers::look(&value["mcpServers"], place, notes));
        }
        [.., ".vscode", "mcp.json"] => {
            json(entry, notes, |value, place, notes| servers::look(&value["servers"], place, notes));
        }
        [.., ".gemini", "settings.json"] => json(entry, notes, settings::gemini),
        [.., "opencode.json" | "opencode.jsonc"] => json(entry, notes, settings::opencode),
        [.., ".codex", "config.toml"] => toml(entry, notes, settings::codex),
        [.., name] if *name == ".env" || name.starts_with(".env.") => {
            if let Some(text) = text(entry, notes) {
                settings::variables(&text, &entry.path(), notes);
            }
        }
        [.., ".claude" | ".codex" | ".gemini", "hooks", _] => {
            notes.add(Sign::Hook, entry.path(), "a program that an agent's settings can run");
        }
        [.., "skills" | "skill", skill, "SKILL.md"] => {
            notes.add(Sign::Skill, entry.path(), format!("the skill `{skill}`"));
        }
        [.., ".claude", "plugins", _] | [.., ".opencode", "plugin" | "plugins" | "tool" | "tools", _] => {
            notes.add(Sign::Skill, entry.path(), "a plugin, which an agent runs");
        }
        [.., ".claude-plugin", "plugin.json" | "marketplace.json"] => {
            notes.add(Sign::Skill, entry.path(), "a plugin");
        }
        _ => {}
    }
}

fn text(entry: &Entry<'_>, notes: &mut Notes) -> Option<String> {
    match entry.read() {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => notes.add(Sign::Unread, entry.path(), "it is not text"),
        },
        Err(why) => notes.add(Sign::Unread, entry.path(), why),
    }
    None
}

fn json(entry: &Entry<'_>, notes: &mut Notes, look: impl FnOnce(&serde_json::Value, &str, &mut Notes)) {
    let Some(text) = text(entry, notes) else { return };
    match serde_json::from_str(&settings::without_comments(&text)) {
        Ok(value) => look(&value, &entry.path(), notes),
        Err(_) => notes.add(
            Sign::Unread,
            entry.path(),
            "it cannot be read as JSON, and an agent may read it otherwise",
        ),
    }
}

fn toml(entry: &Entry<'_>, notes: &mut Notes, look: impl FnOnce(&serde_json::Value, &str, &mut Notes)) {
    let Some(text) = text(entry, notes) else { return };
    match toml::from_str(&text) {
        Ok(value) => look(&value, &entry.path(), notes),
        Err(_) => notes.add(
            Sign::Unread,
            entry.path(),
            "it cannot be read as TOML, and an agent may read it otherwise",
        ),
    }
}

#[cfg(test)]
mod tests;
