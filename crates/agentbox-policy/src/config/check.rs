//! Which keys may stand in whose file, by the table of `lattice`.
//!
//! Runs on typed configuration, because what arrives over the bus never was bytes here.

use super::document::Node;
use super::{ConfigError, HostRule, Layer, LayerKind};
use crate::lattice::{Row, TABLE};
use crate::loopback;
use crate::text::suggestion;
use serde_json::Value;

/// Refuses a layer with a key that may not stand in it.
pub(crate) fn check(layer: &Layer, kind: LayerKind) -> Result<(), ConfigError> {
    let tree = serde_json::to_value(&layer.config)
        .map_err(|error| layer.error("", format!("cannot be checked: {error}"), None))?;
    let mut faults = Vec::new();
    walk(&tree, &mut Vec::new(), kind, &mut faults);
    let place = |key: &str| layer.lines.get(key).copied().unwrap_or(u32::MAX);
    // Of several, the first in the file.
    if let Some(key) = faults.into_iter().min_by_key(|key| place(key)) {
        let (what, remedy) = words(&key, kind);
        return Err(layer.error(&key, what, Some(remedy)));
    }
    if let Some((key, (what, remedy))) = inside(layer) {
        return Err(layer.error(&key, what, Some(remedy)));
    }
    match too_wide(layer) {
        Some((key, path)) => Err(layer.error(
            &key,
            format!("`{path}` is no grant: it holds the home, which a session has for itself"),
            Some("grant what is needed below it".to_owned()),
        )),
        None => Ok(()),
    }
}

/// Refuses a project's own file with a key that may not stand in it, before anything in it is understood.
pub(super) fn keys(file: &str, tree: &Node) -> Result<(), ConfigError> {
    let may = |row: &&Row| row.may(LayerKind::Project);
    for (key, line) in tree.keys() {
        if TABLE.iter().filter(may).any(|row| row.first() == key) {
            continue;
        }
        let (what, remedy) = if TABLE.iter().any(|row| row.first() == key) {
            words(key, LayerKind::Project)
        } else {
            let mut known: Vec<_> = TABLE.iter().filter(may).map(Row::first).collect();
            known.dedup();
            ("unknown key".to_owned(), suggestion(key, known))
        };
        let (line, key) = (Some(line as usize), Some(key.to_owned()));
        return Err(ConfigError { file: file.to_owned(), line, key, what, remedy: Some(remedy) });
    }
    Ok(())
}

/// An entry of a list that allows what no rule concerns, and what to write instead.
fn inside(layer: &Layer) -> Option<(String, (String, String))> {
    let config = &layer.config;
    let profiles = config
        .profile
        .iter()
        .map(|(name, table)| (format!("profile.{name}."), &table.allow, &table.internal));
    let projects = config
        .project
        .iter()
        .map(|(name, table)| (format!("project.{name}."), &table.allow, &table.internal));
    let own = [(String::new(), &config.allow, &None)];
    profiles.chain(projects).chain(own).find_map(|(table, allow, internal)| {
        let allowed = allow.iter().flatten().flat_map(HostRule::targets).map(|target| ("allow", target));
        let names = internal.iter().flatten().map(|name| ("internal", name.target().clone()));
        let mut all = allowed.chain(names);
        all.find_map(|(key, target)| Some((format!("{table}{key}"), loopback::fault(&target)?)))
    })
}

/// A grant that is refused wherever it stands; the others depend on whose home it is.
fn too_wide(layer: &Layer) -> Option<(String, &str)> {
    let (profiles, projects) = (layer.config.profile.iter(), layer.config.project.iter());
    let profiles = profiles.map(|(name, table)| (format!("profile.{name}"), &table.read, &table.write));
    let projects = projects.map(|(name, table)| (format!("project.{name}"), &table.read, &table.write));
    profiles.chain(projects).find_map(|(table, read, write)| {
        [("read", read), ("write", write)].into_iter().find_map(|(key, paths)| {
            let path = paths.iter().flatten().find(|path| matches!(path.as_str(), "~" | "/"))?;
            Some((format!("{table}.{key}"), path.as_str()))
        })
    })
}

fn words(key: &str, kind: LayerKind) -> (String, String) {
    let rows: Vec<_> = TABLE.iter().filter(|row| row.covers(key)).collect();
    let file = |kind: LayerKind| match kind {
        LayerKind::System => "the system's file",
        LayerKind::Person => "a person's own file",
        LayerKind::Project => "a project's own file",
    };
    let all = [LayerKind::System, LayerKind::Person, LayerKind::Project];
    let elsewhere: Vec<_> =
        all.into_iter().filter(|kind| rows.iter().any(|row| row.may(*kind))).map(file).collect();
    let what = match kind {
        LayerKind::Project => {
            "cannot stand in a project's own file, which can only tighten: the key has no order".to_owned()
        }
        _ => format!("cannot stand in {}", file(kind)),
    };
    let remedy = if elsewhere.is_empty() {
        "remove it; `profile.NAME.env.set` sets variables".to_owned()
    } else {
        format!("it may stand in {}", elsewhere.join(" and in "))
    };
    (what, remedy)
}

fn walk(tree: &Value, path: &mut Vec<String>, kind: LayerKind, faults: &mut Vec<String>) {
    let key = path.join(".");
    let leaf = TABLE.iter().find(|row| row.matches(&key));
    if let Some(row) = leaf {
        if !row.may(kind) {
            faults.push(key);
        }
        return;
    }
    let below: Vec<&Row> = TABLE.iter().filter(|row| path.is_empty() || row.covers(&key)).collect();
    if !below.iter().any(|row| row.may(kind)) {
        faults.push(key);
        return;
    }
    if let Value::Object(fields) = tree {
        for (name, value) in fields {
            path.push(name.clone());
            walk(value, path, kind, faults);
            path.pop();
        }
    }
}
