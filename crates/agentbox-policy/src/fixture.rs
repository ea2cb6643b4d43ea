//! A machine, a person and a project for tests.

use crate::*;
use agentbox_plan::{Plan, Streams, TerminalSize};
use std::collections::BTreeMap;

/// All inputs, owned.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) system: System,
    pub(crate) person_layer: Option<Layer>,
    pub(crate) project_file: Option<Layer>,
    pub(crate) request: Request,
    pub(crate) person: Person,
    pub(crate) project: ProjectFacts,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) inspection: Option<Inspection>,
    pub(crate) accepted: Option<Layer>,
    pub(crate) ssh: Option<Ssh>,
}

pub(crate) fn system(text: &str) -> System {
    merge_system(vec![layer("/etc/agentbox/agentbox.toml", text, LayerKind::System)]).unwrap()
}

pub(crate) fn layer(file: &str, text: &str, kind: LayerKind) -> Layer {
    Layer::parse(file, text.as_bytes(), kind).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            system: System::default(),
            person_layer: None,
            project_file: None,
            request: Request::default(),
            person: Person {
                uid: 1000,
                gid: 1000,
                groups: vec![27, 998, 1000, 5000],
                name: "me".into(),
                home: "/home/me".into(),
                shell: "/bin/bash".into(),
            },
            project: ProjectFacts { path: "/home/me/src/site".into(), owner_uid: 1000, owner_gid: 1000 },
            environment: [("PATH", "/home/me/bin:/usr/bin:/bin"), ("TERM", "xterm"), ("SECRET_TOKEN", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            inspection: None,
            accepted: None,
            ssh: None,
        }
    }
    pub(crate) fn system(mut self, text: &str) -> Self {
        self.system = system(text);
        self
    }
    pub(crate) fn own(mut self, text: &str) -> Self {
        self.person_layer = Some(layer("~/.config/agentbox/agentbox.toml", text, LayerKind::Person));
        self
    }
    pub(crate) fn file(mut self, text: &str) -> Self {
        self.project_file = Some(layer(".agentbox.toml", text, LayerKind::Project));
        self
    }
    pub(crate) fn ask(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.project.path = path.into();
        self
    }
    pub(crate) fn home(mut self, path: &str) -> Self {
        self.person.home = path.into();
        self
    }
    pub(crate) fn resolve(&self) -> Result<Policy, PolicyError> {
        resolve(&Inputs {
            system: &self.system,
            person_layer: self.person_layer.as_ref(),
            project_file: self.project_file.as_ref(),
            request: &self.request,
            person: &self.person,
            project: &self.project,
            environment: &self.environment,
            accepted_file: self.accepted.as_ref(),
            inspection: self.inspection.as_ref(),
            git_identity: Some(("Me".into(), "me@example.org".into())),
            ssh: self.ssh.as_ref(),
        })
    }
    /// The message of the refusal.
    pub(crate) fn refusal(&self) -> String {
        self.resolve().unwrap_err().to_string()
    }
}

/// A host on which everything exists: merged-usr, everything else a directory.
pub(crate) fn found(policy: &Policy) -> Vec<Found> {
    let one = |wanted: Wanted| match (wanted.path.as_str(), &wanted.what) {
        (_, WantedKind::CharDevice) => Found::CharDevice,
        (
            _,
            WantedKind::Made { .. }
            | WantedKind::Secret { .. }
            | WantedKind::Denials
            | WantedKind::Told
            | WantedKind::AgentSocket,
        ) => Found::File,
        ("/bin" | "/sbin" | "/lib" | "/lib64", _) => Found::Symlink(format!("usr{}", wanted.path)),
        ("/etc/localtime", _) => Found::Symlink("../usr/share/zoneinfo/UTC".into()),
        ("/run/current-system" | "/run/booted-system" | "/nix/store" | "/gnu/store", _) => Found::Missing,
        (path, _) if path.ends_with(".local/bin/claude") => {
            Found::Symlink("../share/claude/versions/1".into())
        }
        (path, _) if path.ends_with(".conf") => Found::File,
        _ => Found::Directory,
    };
    wanted(policy).into_iter().map(one).collect()
}

pub(crate) fn facts(found: Vec<Found>) -> Facts {
    Facts {
        found,
        lease_first: 2_001_000_000,
        session: "babc1234".parse().unwrap(),
        streams: Streams::TERMINAL,
        size: TerminalSize { rows: 24, columns: 80 },
        umask: 0o022,
        hostname: "box".into(),
        resolved_groups: vec![(1000, "me".into()), (5000, "team".into())],
        secrets: Vec::new(),
        held: Vec::new(),
    }
}

pub(crate) fn planned(policy: &Policy) -> Result<Plan, PolicyError> {
    plan(policy, &facts(found(policy)))
}
