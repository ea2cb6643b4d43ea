//! `project`: directories with a name, bound to a profile. They stand in the person's own file.

use crate::account::own_home;
use crate::arguments::ProjectVerb;
use crate::edit;
use crate::errors::Failure;
use crate::layers::{self, Named};
use crate::output::table::Columns;
use crate::output::{escape, print, print_json};
use agentbox_policy::Name;
use serde::Serialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    path: String,
    profile: Option<String>,
    posture: Option<String>,
    file: String,
}

pub(super) fn run(verb: &ProjectVerb) -> Result<u8, Failure> {
    match verb {
        ProjectVerb::List { json } => list(*json),
        ProjectVerb::Add { name, path, profile, posture } => {
            add(name, path, profile.as_deref(), posture.as_deref())
        }
        ProjectVerb::Remove { name } => remove(name),
    }
}

fn list(json: bool) -> Result<u8, Failure> {
    let projects = layers::projects(own_home().as_deref())?;
    let row = |Named { name, file, value }: Named<agentbox_policy::ProjectTable>| Row {
        name,
        path: value.path.map(|path| path.to_string()).unwrap_or_default(),
        profile: value.profile.map(|profile| profile.to_string()),
        posture: value.posture.map(|posture| posture.to_string()),
        file,
    };
    let rows: Vec<Row> = projects.into_iter().map(row).collect();
    if json {
        print_json(&rows)?;
        return Ok(0);
    }
    let mut columns = Columns::new(&["PROJECT", "PATH", "PROFILE", "POSTURE", "FILE"]);
    for row in &rows {
        let [profile, posture] = [&row.profile, &row.posture].map(|name| name.as_deref().unwrap_or("-"));
        columns.plain([row.name.as_str(), &row.path, profile, posture, &row.file]);
    }
    print(&columns.finish())?;
    Ok(0)
}

fn add(name: &str, path: &OsStr, profile: Option<&str>, posture: Option<&str>) -> Result<u8, Failure> {
    for name in [Some(name), profile, posture].into_iter().flatten() {
        Name::new(name).map_err(|what| Failure::new(format!("refused: `{name}`\n{what}")))?;
    }
    let home = home()?;
    let path = written(Path::new(path), &home)?;
    let file = edit::change(&home, |document| {
        let projects = edit::table(document.as_table_mut(), "project")?;
        if projects.contains_key(name) {
            return Err(Failure::new(format!(
                "refused: there is a project `{name}` already\nremove it first: agentboxctl project remove {name}"
            )));
        }
        let mut table = toml_edit::Table::new();
        table.insert("path", toml_edit::value(path.clone()));
        for (key, name) in [("profile", profile), ("posture", posture)] {
            if let Some(name) = name {
                table.insert(key, toml_edit::value(name));
            }
        }
        projects.insert(name, toml_edit::Item::Table(table));
        Ok(())
    })?;
    print(&format!("project {}: {} ({})\n", escape::name(name), escape::name(&path), escape::name(&file)))?;
    Ok(0)
}

fn remove(name: &str) -> Result<u8, Failure> {
    let file = edit::change(&home()?, |document| {
        let projects = edit::table(document.as_table_mut(), "project")?;
        match projects.remove(name) {
            Some(_) => Ok(()),
            None => Err(Failure::new(format!(
                "there is no project `{name}` in your own file\nsee: agentboxctl project list"
            ))),
        }
    })?;
    print(&format!("removed {} from {}\n", escape::name(name), escape::name(&file)))?;
    Ok(0)
}

fn home() -> Result<PathBuf, Failure> {
    own_home().ok_or_else(|| Failure::new("you have no home here, and so no file of your own"))
}

/// The real path of a directory, as it is written: below the home with `~`.
fn written(path: &Path, home: &Path) -> Result<String, Failure> {
    let real = path.canonicalize().map_err(|error| Failure::system(path.display(), error))?;
    if !real.is_dir() {
        return Err(Failure::new(format!("refused: {} is no directory", path.display())));
    }
    let below = home.canonicalize().ok().and_then(|home| Some(real.strip_prefix(home).ok()?.to_owned()));
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::new(format!("refused: the path of {} is not UTF-8", path.display())))
    };
    match below.filter(|below| !below.as_os_str().is_empty()) {
        Some(below) => Ok(format!("~/{}", text(&below)?)),
        None => text(&real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_it_really_is_and_below_the_home_with_a_tilde() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("src/site");
        std::fs::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, home.path().join("link")).unwrap();
        assert_eq!(written(&home.path().join("link"), home.path()).unwrap(), "~/src/site");
        let elsewhere = tempfile::tempdir().unwrap();
        let path = elsewhere.path().canonicalize().unwrap();
        assert_eq!(written(elsewhere.path(), home.path()).unwrap(), path.to_str().unwrap());
        std::fs::write(home.path().join("file"), "").unwrap();
        assert!(written(&home.path().join("file"), home.path()).is_err());
    }
}
