//! What `cargo metadata` says about the crates, as far as the checks ask.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// All packages that are built for this machine.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_members: Vec<String>,
    pub(super) resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    /// Absent: linked into the program. `build` and `dev` are not.
    kind: Option<String>,
}

impl Metadata {
    pub(super) fn read() -> Result<Self> {
        let mut command = crate::workspace::cargo();
        command.args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"]);
        command.arg(crate::workspace::host_triple()?);
        let text = crate::program::capture(&mut command)?;
        serde_json::from_str(&text).context("cargo metadata says something unknown")
    }

    fn names(&self) -> BTreeMap<&str, &str> {
        self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect()
    }

    /// Names of the crates of this workspace.
    pub(super) fn members(&self) -> BTreeSet<&str> {
        let names = self.names();
        self.workspace_members.iter().filter_map(|id| names.get(id.as_str()).copied()).collect()
    }

    /// What a crate is linked with directly.
    pub(super) fn direct(&self, name: &str) -> BTreeSet<&str> {
        let names = self.names();
        let of_name = |node: &&Node| names.get(node.id.as_str()) == Some(&name);
        let normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        let nodes = self.resolve.nodes.iter().filter(of_name);
        let dependencies = nodes.flat_map(|node| node.deps.iter().filter(normal));
        dependencies.filter_map(|dependency| names.get(dependency.pkg.as_str()).copied()).collect()
    }

    /// What a crate is linked with in the end, itself left out.
    pub(super) fn transitive(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.direct(name).into_iter().collect();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(self.direct(next));
            }
        }
        found
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Metadata of workspace members with (crate, what it is linked with) edges.
    pub(crate) fn metadata(edges: &[(&str, &[&str])]) -> Metadata {
        let names: BTreeSet<&str> =
            edges.iter().flat_map(|(name, to)| std::iter::once(*name).chain(to.iter().copied())).collect();
        let package = |name: &&str| Package {
            id: format!("id of {name}"),
            name: (*name).to_owned(),
            version: "1.0.0".to_owned(),
            license: Some("MIT".to_owned()),
        };
        let normal = |name: &&str| Dependency {
            pkg: format!("id of {name}"),
            dep_kinds: vec![DependencyKind { kind: None }],
        };
        let node = |(name, to): &(&str, &[&str])| Node {
            id: format!("id of {name}"),
            deps: to.iter().map(normal).collect(),
        };
        Metadata {
            packages: names.iter().map(package).collect(),
            workspace_members: edges.iter().map(|(name, _)| format!("id of {name}")).collect(),
            resolve: Resolve { nodes: edges.iter().map(node).collect() },
        }
    }

    #[test]
    fn what_only_tests_use_is_not_linked() {
        let mut data = metadata(&[("a", &["b"]), ("b", &["c"])]);
        assert_eq!(data.transitive("a"), BTreeSet::from(["b", "c"]));
        data.resolve.nodes[0].deps[0].dep_kinds[0].kind = Some("dev".to_owned());
        assert!(data.transitive("a").is_empty());
    }
}
