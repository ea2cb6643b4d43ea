//! The system's configuration: its files merged and checked; and where each key of it stands.

use crate::config::check;
use crate::lattice::{Row, TABLE};
use crate::posture::{self, Chain};
use crate::text::suggestion;
use crate::{Config, ConfigError, Layer, LayerKind, Line, Name, preset};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The file and line of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Place {
    file: String,
    line: Option<u32>,
}

/// Configuration of one owner, with the place of every key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Source {
    pub(crate) config: Config,
    places: BTreeMap<String, Place>,
    /// What keys of a file are called, by the file and the first name of a key.
    names: BTreeMap<String, BTreeMap<Name, Line>>,
    /// For keys without a place of their own.
    file: String,
}

impl Source {
    /// One file.
    pub(crate) fn of_layer(layer: &Layer) -> Self {
        let place = |line: &u32| Place { file: layer.file.clone(), line: Some(*line) };
        let places = layer.lines.iter().map(|(key, line)| (key.clone(), place(line))).collect();
        let names = BTreeMap::from([(layer.file.clone(), layer.config.said_as.clone())]);
        Self { config: layer.config.clone(), places, names, file: layer.file.clone() }
    }

    /// The rule that a key states, as messages and `explain` name it.
    pub(crate) fn rule(&self, key: &str) -> String {
        let file = self.places.get(key).map_or(self.file.as_str(), |place| &place.file);
        let (first, rest) = key.find('.').map_or((key, ""), |dot| key.split_at(dot));
        let name = self.names.get(file).and_then(|names| {
            names.iter().find(|(name, _)| name.as_str() == first).map(|(_, said)| said.as_str())
        });
        name.map_or_else(|| format!("{file}: {key}"), |name| format!("{name}{rest}"))
    }

    /// An error about a key.
    pub(crate) fn error(&self, key: &str, what: impl Into<String>, remedy: Option<String>) -> ConfigError {
        let place = self.places.get(key);
        ConfigError {
            file: place.map_or(&self.file, |place| &place.file).clone(),
            line: place.and_then(|place| place.line).map(|line| line as usize),
            key: Some(key.to_owned()),
            what: what.into(),
            remedy,
        }
    }
}

/// The system's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct System {
    pub(crate) source: Source,
}

/// Merges the system's files; a later one wins, key by key.
///
/// # Errors
/// [`ConfigError`] with the file and line of the key that is wrong.
pub fn merge_system(layers: Vec<Layer>) -> Result<System, ConfigError> {
    let mut tree = Map::new();
    let mut source = Source { file: "built-in".to_owned(), ..Source::default() };
    for layer in layers {
        check::check(&layer, LayerKind::System)?;
        match serde_json::to_value(&layer.config) {
            Ok(Value::Object(fields)) => lay_over(&mut tree, fields),
            _ => return Err(layer.error("", "cannot be merged", None)),
        }
        // A later file that names a key again is the one that a message has to name.
        let one = Source::of_layer(&layer);
        source.places.extend(one.places);
        source.names.extend(one.names);
        source.file = layer.file;
    }
    source.config = serde_json::from_value(Value::Object(tree)).map_err(|error| ConfigError {
        file: source.file.clone(),
        line: None,
        key: None,
        what: format!("the files do not merge: {error}"),
        remedy: None,
    })?;
    check_names(&source)?;
    check_range(&source)?;
    check_resolvers(&source)?;
    check_references(&source, None)?;
    Ok(System { source })
}

/// Tables are laid over tables; everything else is replaced.
fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => drop(below.insert(name, value)),
        }
    }
}

/// Names are those of keys: one that is mistaken would say nothing.
fn check_names(source: &Source) -> Result<(), ConfigError> {
    let known: BTreeSet<&str> =
        TABLE.iter().filter(|row| row.may(LayerKind::System)).map(Row::first).collect();
    match source.config.said_as.keys().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let what = format!("there is no key `{}`", name.as_str());
            let remedy = suggestion(name.as_str(), known);
            Err(source.error(&format!("said_as.{}", name.as_str()), what, Some(remedy)))
        }
    }
}

/// Ids of one lease (agent, console, two gates).
const LEASE_IDS: u32 = 4;

fn check_range(source: &Source) -> Result<(), ConfigError> {
    let Some(range) = source.config.uid_range else { return Ok(()) };
    let (first, count) = uid_range(&source.config);
    if first < 65536 {
        let remedy = Some("choose ids that no user, service or container has".to_owned());
        return Err(source.error("uid_range.first", "below 65536, where users and services live", remedy));
    }
    if count < LEASE_IDS {
        return Err(source.error("uid_range.count", "less than one lease of 4 ids", None));
    }
    // The last two ids mean "no id" to the kernel (credentials(7), user_namespaces(7)).
    if first.checked_add(count).is_none_or(|end| end > u32::MAX - 1) {
        let key = if range.count.is_some() { "uid_range.count" } else { "uid_range.first" };
        return Err(source.error(key, "the range ends above 4294967293", None));
    }
    Ok(())
}

/// More than a resolver library asks anyhow, and few enough to be asked one after the other.
const MOST_RESOLVERS: usize = 8;

fn check_resolvers(source: &Source) -> Result<(), ConfigError> {
    let Some(resolvers) = &source.config.resolvers else { return Ok(()) };
    if (1..=MOST_RESOLVERS).contains(&resolvers.len()) {
        return Ok(());
    }
    let what = format!("{} resolvers; there can be 1 to {MOST_RESOLVERS}", resolvers.len());
    Err(source.error("resolvers", what, Some("without the key the host's are asked".to_owned())))
}

fn uid_range(config: &Config) -> (u32, u32) {
    let range = config.uid_range.unwrap_or_default();
    (range.first.unwrap_or(2_001_000_000), range.count.unwrap_or(100_000_000))
}

/// What a name looks like: without case, and with characters that are taken for each other as one.
fn looks(name: &str) -> String {
    let one = |character: char| match character.to_ascii_lowercase() {
        'i' | 'l' => '1',
        'o' => '0',
        '_' => '-',
        other => other,
    };
    name.chars().map(one).collect::<String>().replace("rn", "m").replace("vv", "w")
}

/// Checks a person's own file with the system's: every name that it refers to.
///
/// # Errors
/// [`ConfigError`] with the file and line of the key that is wrong.
pub fn check_person(system: &System, layer: &Layer) -> Result<(), ConfigError> {
    check::check(layer, LayerKind::Person)?;
    check_references(&Source::of_layer(layer), Some(&system.source))
}

/// What the project's own file says otherwise than when it was last accepted, a key each.
///
/// # Errors
/// [`ConfigError`] when it is none that a project can have.
pub fn changed_file(accepted: Option<&Layer>, present: Option<&Layer>) -> Result<Vec<String>, ConfigError> {
    present.map_or(Ok(()), |layer| check::check(layer, LayerKind::Project))?;
    let config = |layer: Option<&Layer>| layer.map_or_else(Config::default, |layer| layer.config.clone());
    Ok(crate::config::differences(&config(accepted), &config(present)))
}

/// Checks every name that a source refers to. `below` is the system's, for a person's source.
pub(crate) fn check_references(source: &Source, below: Option<&Source>) -> Result<(), ConfigError> {
    let config = &source.config;
    let chain = Chain { own: source, below };
    let posture_exists = |key: &str, name: &str| {
        if chain.knows(name) {
            return Ok(());
        }
        let what = format!("there is no posture `{name}`");
        Err(source.error(key, what, Some(suggestion(name, chain.names()))))
    };
    let agent_exists = |key: &str, name: &str| {
        if preset::NAMES.contains(&name) {
            return Ok(());
        }
        let what = format!("there is no agent `{name}`");
        Err(source.error(key, what, Some(suggestion(name, preset::NAMES.iter().copied()))))
    };
    let redefined = |key: &str, what: &str, name: &str| {
        let what = format!("the system's configuration has a {what} `{name}`");
        Err(source.error(key, what, Some("choose another name".to_owned())))
    };

    type Names = fn(&Config) -> Vec<&Name>;
    let of_system = |tables: Names| below.map(|below| tables(&below.config)).unwrap_or_default();
    let tables: [(&str, Names); 2] = [
        ("profile", |config| config.profile.keys().collect()),
        ("project", |config| config.project.keys().collect()),
    ];
    for (kind, names) in tables {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for name in of_system(names).into_iter().chain(names(config)) {
            if let Some(other) = seen.insert(looks(name.as_str()), name.as_str())
                && other != name.as_str()
            {
                let what = format!("`{name}` looks like `{other}`, and would be taken for it");
                let remedy = Some("choose a name that nobody can mistake".to_owned());
                return Err(source.error(&format!("{kind}.{name}"), what, remedy));
            }
        }
    }
    if let Some(name) = &config.default_posture {
        posture_exists("default_posture", name.as_str())?;
    }
    for (name, table) in &config.posture {
        let key = format!("posture.{name}");
        if posture::BUILT_IN.contains(&name.as_str()) {
            let remedy = format!("choose another name and say `extends = \"{name}\"`");
            return Err(source.error(&key, format!("`{name}` is built in"), Some(remedy)));
        }
        if below.is_some_and(|below| below.config.posture.contains_key(name)) {
            return redefined(&key, "posture", name.as_str());
        }
        if let Some(extends) = &table.extends {
            posture_exists(&format!("{key}.extends"), extends.as_str())?;
        }
    }
    for name in config.posture.keys() {
        chain.check_cycle(name.as_str())?;
    }
    for (name, table) in &config.profile {
        let key = format!("profile.{name}");
        if below.is_some_and(|below| below.config.profile.contains_key(name)) {
            return redefined(&key, "profile", name.as_str());
        }
        if let Some(agent) = &table.agent {
            agent_exists(&format!("{key}.agent"), agent.as_str())?;
        }
        for kept in table.persist.iter().flatten() {
            if !preset::kept_names().iter().any(|known| known == kept.as_str()) {
                let what = format!("there is nothing kept that is named `{kept}`");
                let known: Vec<&str> = preset::kept_names().iter().map(String::as_str).collect();
                return Err(source.error(
                    &format!("{key}.persist"),
                    what,
                    Some(suggestion(kept.as_str(), known)),
                ));
            }
        }
        if let Some(env) = &table.env {
            let passed = env.pass.iter().flatten().map(|name| ("pass", name.as_str()));
            let set = env.set.keys().map(|name| ("set", name.as_str()));
            for (list, name) in passed.chain(set) {
                if crate::environment::OURS.contains(&name) {
                    let at = if list == "set" {
                        format!("{key}.env.set.{name}")
                    } else {
                        format!("{key}.env.pass")
                    };
                    let what = format!("`{name}` is set by agentbox itself");
                    return Err(source.error(&at, what, Some("remove it".to_owned())));
                }
            }
            if let Some((name, _)) = env.set.iter().find(|(_, value)| value.contains('\0')) {
                return Err(source.error(&format!("{key}.env.set.{name}"), "holds a NUL byte", None));
            }
        }
    }
    for (name, table) in &config.project {
        let key = format!("project.{name}");
        if below.is_some_and(|below| below.config.project.contains_key(name)) {
            return redefined(&key, "project", name.as_str());
        }
        if table.path.is_none() {
            return Err(source.error(&key, "a project needs a `path`", None));
        }
        if let Some(posture) = &table.posture {
            posture_exists(&format!("{key}.posture"), posture.as_str())?;
        }
        if let Some(agent) = &table.agent {
            agent_exists(&format!("{key}.agent"), agent.as_str())?;
        }
        if let Some(profile) = &table.profile {
            let mut known: Vec<_> = config.profile.keys().map(crate::Name::as_str).collect();
            known.extend(below.iter().flat_map(|below| below.config.profile.keys()).map(crate::Name::as_str));
            if !known.contains(&profile.as_str()) {
                let what = format!("there is no profile `{profile}`");
                let remedy = Some(suggestion(profile.as_str(), known));
                return Err(source.error(&format!("{key}.profile"), what, remedy));
            }
        }
    }
    Ok(())
}

impl System {
    /// First id and number of ids for leases.
    #[must_use]
    pub fn uid_range(&self) -> (u32, u32) {
        uid_range(&self.source.config)
    }

    /// Which resolvers names are asked of, in this order; none when these are the host's.
    pub fn resolvers(&self) -> impl Iterator<Item = core::net::SocketAddr> {
        self.source.config.resolvers.iter().flatten().map(|resolver| resolver.address())
    }

    /// Names of those who may use the supervisor besides root.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.source.config.users.iter().flatten().map(crate::UserName::as_str)
    }
}
