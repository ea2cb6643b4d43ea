//! Which crate may depend on which.

use super::Repository;
use super::document::diagram;
use super::metadata::Metadata;
use std::collections::BTreeSet;

/// What a crate may not be linked with, however indirectly.
const BANNED: &[(&str, &[&str])] = &[
    ("agentbox-plan", &["serde", "libc", "rustix"]),
    ("agentbox-launch", &["tokio", "zbus", "toml", "serde", "serde_json", "tracing", "clap", "anyhow"]),
    ("agentbox-gate", &["tokio", "zbus", "toml", "serde_json", "tracing", "clap", "anyhow", "rustls"]),
    ("agentbox-look", &["tokio", "zbus", "toml", "serde", "serde_json", "tracing", "clap", "anyhow"]),
    ("agentbox-kernel", &["tokio", "zbus", "toml"]),
];

/// All that a crate may depend on directly.
const LISTED: &[(&str, &[&str])] = &[
    ("agentbox-plan", &["thiserror"]),
    ("agentbox-launch", &["agentbox-plan", "landlock", "libc", "rustix", "thiserror"]),
    (
        "agentbox-gate",
        &["agentbox-launch", "agentbox-plan", "domain", "httparse", "ring", "rustix", "thiserror"],
    ),
    ("agentbox-look", &["agentbox-launch", "agentbox-plan", "rustix", "sha2", "thiserror"]),
];

/// What a crate that does no IO and knows no clock is not linked with.
const IMPURE: &[&str] = &["tokio", "zbus", "rustix", "libc", "nix", "mio", "getrandom", "chrono", "time"];

/// Both ways: an edge that the diagram does not show, and one that it shows and nobody uses.
pub(super) fn edges_between_crates_are_those_of_the_diagram(repository: &Repository) -> Vec<String> {
    compare(&diagram(&repository.sources), &edges(&repository.metadata))
}

fn edges(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let members = metadata.members();
    let of = |from: &&str| {
        let from = (*from).to_owned();
        let to: Vec<String> =
            metadata.direct(&from).intersection(&members).map(ToString::to_string).collect();
        to.into_iter().map(move |to| (from.clone(), to))
    };
    members.iter().flat_map(of).collect()
}

fn compare(
    drawn: &Result<BTreeSet<(String, String)>, String>,
    real: &BTreeSet<(String, String)>,
) -> Vec<String> {
    let drawn = match drawn {
        Ok(drawn) => drawn,
        Err(problem) => return vec![problem.clone()],
    };
    let undrawn = real.difference(drawn).map(|(from, to)| {
        format!("{from} depends on {to}: the diagram of docs/ARCHITECTURE.md does not allow it")
    });
    let unused = drawn.difference(real).map(|(from, to)| {
        format!("the diagram of docs/ARCHITECTURE.md shows {from} -> {to}: no such dependency")
    });
    undrawn.chain(unused).collect()
}

pub(super) fn trusted_programs_link_no_more_than_is_listed(repository: &Repository) -> Vec<String> {
    let mut problems = banned(&repository.metadata, BANNED);
    for (name, listed) in LISTED {
        for found in repository.metadata.direct(name).iter().filter(|found| !listed.contains(found)) {
            problems.push(format!("{name} depends on {found}, which is not on its list"));
        }
    }
    problems
}

pub(super) fn policy_is_pure(repository: &Repository) -> Vec<String> {
    banned(&repository.metadata, &[("agentbox-policy", IMPURE)])
}

fn banned(metadata: &Metadata, rules: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, banned) in rules {
        let linked = metadata.transitive(name);
        if linked.is_empty() {
            problems.push(format!("{name} is linked with nothing: is it still called that?"));
        }
        let found = banned.iter().filter(|banned| linked.contains(*banned));
        problems.extend(found.map(|banned| format!("{name} is linked with {banned}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::metadata::tests::metadata;
    use super::*;

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn an_edge_that_is_missing_on_either_side_is_found() {
        let real = edges(&metadata(&[("a", &["b", "serde"]), ("b", &[])]));
        assert_eq!(real, BTreeSet::from([pair("a", "b")]));
        assert!(compare(&Ok(real.clone()), &real).is_empty());
        assert_eq!(compare(&Ok(BTreeSet::new()), &real).len(), 1);
        assert_eq!(compare(&Ok(BTreeSet::from([pair("a", "b"), pair("b", "a")])), &real).len(), 1);
    }

    #[test]
    fn a_ban_holds_through_other_crates() {
        let data = metadata(&[("agentbox-launch", &["x"]), ("x", &["serde"])]);
        assert_eq!(
            banned(&data, &[("agentbox-launch", &["serde"])]),
            ["agentbox-launch is linked with serde"]
        );
        assert_eq!(banned(&data, &[("renamed", &["serde"])]).len(), 1);
    }
}
