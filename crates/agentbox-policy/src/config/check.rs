//! Which keys may stand in whose file, by the table of `lattice`.
//!
//! Runs on typed configuration, because what arrives over the bus never was bytes here.

use super::{ConfigError, Layer, LayerKind};
use crate::lattice::{Row, TABLE};
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
    match too_wide(layer) {
        Some((key, path)) => Err(layer.error(
            &key,
            format!("`{path}` is no grant: it holds the home, which a session has for itself"),
            Some("grant what is needed below it".to_owned()),
        )),
        None => Ok(()),
    }
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
