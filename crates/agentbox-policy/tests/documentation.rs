//! The documentation says what the code does, and the crate keeps to itself.

use agentbox_policy::lattice::{Row, TABLE};
use agentbox_policy::{Inputs, Layer, LayerKind, Person, ProjectFacts, Request, merge_system, resolve};
use std::collections::BTreeMap;

const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");

fn kind(word: &str) -> LayerKind {
    match word {
        "system" => LayerKind::System,
        "person" => LayerKind::Person,
        "project" => LayerKind::Project,
        other => panic!("an example for {other}"),
    }
}

/// The fenced examples of a page with what stands behind their fences.
fn examples(page: &str) -> Vec<(&str, String)> {
    let mut examples = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        examples.push((info, body.join("\n")));
    }
    examples
}

#[test]
fn the_three_files_of_the_examples_fit_together() {
    // Those that say whose file they are; others show what is typed. `cargo xtask structure` reads all of every document.
    let mut examples = examples(CONFIGURATION);
    examples.retain(|(info, _)| info.contains(' '));
    assert_eq!(examples.len(), 4);
    let mut layers = BTreeMap::new();
    for (info, text) in examples {
        let (format, word) = info.split_once(' ').unwrap();
        let layer = Layer::parse(&format!("{word}.{format}"), text.as_bytes(), kind(word));
        layers.entry(word).or_insert_with(Vec::new).push(layer.unwrap_or_else(|error| panic!("{error}")));
    }
    let system = merge_system(layers.remove("system").unwrap()).unwrap_or_else(|error| panic!("{error}"));
    // The three files fit together: both projects start.
    let person_layer = &layers["person"][0];
    let person = Person {
        uid: 1000,
        gid: 1000,
        groups: vec![],
        name: "ada".into(),
        home: "/home/ada".into(),
        shell: "/bin/sh".into(),
    };
    for (path, profile) in [("/srv/website", "work"), ("/home/ada/src/toy", "personal")] {
        let policy = resolve(&Inputs {
            system: &system,
            person_layer: Some(person_layer),
            project_file: Some(&layers["project"][0]),
            request: &Request::default(),
            person: &person,
            project: &ProjectFacts { path: path.into(), owner_uid: 1000, owner_gid: 1000 },
            ssh: None,
            environment: &BTreeMap::new(),
            inspection: None,
            accepted_file: None,
            git_identity: None,
        });
        let policy = policy.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(policy.profile_name(), Some(profile));
        assert_eq!(policy.memory_max().unwrap().value, 2 << 30);
    }
}

#[test]
fn the_table_of_keys_is_the_codes() {
    let who = |row: &Row| {
        let all = [
            (LayerKind::System, "system"),
            (LayerKind::Person, "person"),
            (LayerKind::Project, "project's file"),
        ];
        let may: Vec<_> = all.into_iter().filter(|(kind, _)| row.may(*kind)).map(|(_, word)| word).collect();
        may.join(", ")
    };
    let line = |row: &Row| {
        format!("| `{}` | {} | {} | {} | {} |", row.key, row.takes, row.default, row.order, who(row))
    };
    let expected: Vec<_> = TABLE.iter().map(line).collect();
    let (_, table) = CONFIGURATION.split_once("who may set it |\n|---|---|---|---|---|\n").unwrap();
    let found: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_group_is_named() {
    let groups = include_str!("../../../presets/groups.toml");
    let entries = groups.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let names = entries.filter_map(|line| line.split_once(" = [")).map(|(name, _)| name);
    assert!(names.clone().count() > 10);
    for name in names {
        assert!(CONFIGURATION.contains(&format!("`@{name}`")), "@{name}");
    }
}

/// Pure: nothing here opens, asks or starts anything.
#[test]
fn the_crate_does_no_io() {
    fn sources(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, found) } else { found.push(path) }
        }
    }
    let mut files = Vec::new();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for module in ["fs", "env", "process", "time", "net", "thread", "io", "os"] {
            assert!(!text.contains(&format!("std::{module}")), "{} uses std::{module}", file.display());
        }
    }
}

/// The options of the NixOS module are made from it.
#[test]
fn the_schema_of_the_nixos_module_is_this_one() {
    let file = include_str!("../../../nixos-modules/schema.json");
    let written: serde_json::Value = serde_json::from_str(file).unwrap();
    assert!(
        written == agentbox_policy::schema(),
        "nixos-modules/schema.json is not the schema: agentboxctl schema > nixos-modules/schema.json"
    );
}
