//! Postures: the built-in ones, and how `extends` gives those that configuration declares.

use crate::lattice::{Guard, OnGateLoss, OnSharedFiles, OnTrigger, OpenFiles, Tasks, TmpfsSize, Trifecta};
use crate::system::Source;
use crate::{ConfigError, Filesystem, Identity, Isolation, Name, Network, Settings, State, Workspace};

/// Names of the built-in postures.
pub(crate) const BUILT_IN: &[&str] = &["L0", "L1", "L2", "L3", "L4", "L5"];

/// The posture of a session for which nothing names one, and of a posture that extends none.
pub(crate) const DEFAULT: &str = "L2";

/// The settings of a built-in posture.
pub(crate) fn built_in(name: &str) -> Option<Settings> {
    let host = Settings {
        isolation: Some(Isolation::None),
        filesystem: Some(Filesystem::Host),
        identity: Some(Identity::Caller),
        network: Some(Network::Host),
        workspace: Some(Workspace::Direct),
        state: Some(State::Profile),
        open_files: OpenFiles::new(524_288).ok(),
        trifecta: Some(Trifecta::Warn),
        ..Settings::default()
    };
    let shared = Settings {
        isolation: Some(Isolation::Sandbox),
        filesystem: Some(Filesystem::Shared),
        network: Some(Network::Allowlist),
        state: Some(State::Project),
        on_gate_loss: Some(OnGateLoss::Repair),
        guard: Some(Guard::Auto),
        on_trigger: Some(OnTrigger::Freeze),
        on_shared_files: Some(OnSharedFiles::Warn),
        tasks_max: Tasks::new(4096).ok(),
        tmp_size: TmpfsSize::new(1 << 30).ok(),
        ..host
    };
    let listed = Settings {
        filesystem: Some(Filesystem::Listed),
        identity: Some(Identity::Leased),
        network: Some(Network::Public),
        state: Some(State::Ephemeral),
        home_size: TmpfsSize::new(1 << 30).ok(),
        ..shared
    };
    let elsewhere = Settings { network: Some(Network::None), ..listed };
    match name {
        "L0" => Some(host),
        "L1" => Some(shared),
        "L2" => Some(listed),
        "L3" => Some(Settings { isolation: Some(Isolation::Vm), ..elsewhere }),
        "L4" => Some(Settings { isolation: Some(Isolation::Remote), ..elsewhere }),
        "L5" => Some(Settings { isolation: Some(Isolation::Managed), ..elsewhere }),
        _ => None,
    }
}

/// Where postures are looked up: a source's own, then the system's, then the built-in ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain<'a> {
    pub(crate) own: &'a Source,
    pub(crate) below: Option<&'a Source>,
}

impl<'a> Chain<'a> {
    fn source(&self, name: &str) -> Option<&'a Source> {
        [Some(self.own), self.below]
            .into_iter()
            .flatten()
            .find(|source| source.config.posture.contains_key(name))
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        BUILT_IN.contains(&name) || self.source(name).is_some()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + Clone {
        let own = self.own.config.posture.keys();
        let below = self.below.into_iter().flat_map(|source| source.config.posture.keys());
        BUILT_IN.iter().copied().chain(own.chain(below).map(Name::as_str))
    }

    fn parent(&self, name: &str) -> Option<&'a str> {
        let table = self.source(name)?.config.posture.get(name)?;
        Some(table.extends.as_ref().map_or(DEFAULT, Name::as_str))
    }

    /// Refuses a posture that extends itself, however far around.
    pub(crate) fn check_cycle(&self, name: &str) -> Result<(), ConfigError> {
        let mut seen = vec![name];
        let mut at = name;
        while let Some(parent) = self.parent(at) {
            if seen.contains(&parent) {
                seen.push(parent);
                let what = format!("extends itself: {}", seen.join(" → "));
                let key = format!("posture.{name}.extends");
                return Err(self.own.error(
                    &key,
                    what,
                    Some("let one of them extend a built-in posture".to_owned()),
                ));
            }
            seen.push(parent);
            at = parent;
        }
        Ok(())
    }

    /// The settings of a posture, each with the rule that says it. Cycles were refused before.
    pub(crate) fn settings(&self, name: &str) -> Vec<(crate::lattice::Setting, String)> {
        let mut found: Vec<(crate::lattice::Setting, String)> = Vec::new();
        let mut add = |settings: Settings, rule: &dyn Fn(&str) -> String| {
            for setting in settings.iter() {
                if found.iter().all(|(mine, _)| mine.key() != setting.key()) {
                    found.push((setting, rule(setting.key().as_str())));
                }
            }
        };
        let mut at = name;
        while let Some(source) = self.source(at) {
            let Some(table) = source.config.posture.get(at) else { break };
            add(table.settings(), &|key| source.rule(&format!("posture.{at}.{key}")));
            at = table.extends.as_ref().map_or(DEFAULT, Name::as_str);
        }
        if let Some(settings) = built_in(at) {
            add(settings, &|_| format!("built-in: {at}"));
        }
        found
    }
}
