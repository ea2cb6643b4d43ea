//! The same promise in two places: what NixOS' tests run of the suite, and what runs here.

use super::machines::Part;
use crate::rig::{SUITE_PARTS, runs_in_vm};
use crate::suite::test_names;
use crate::workspace::root;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// Tests of NixOS that nothing here is the like of, with the reason.
const NIXOS_ONLY: &[(&str, &str)] = &[
    ("switch-keeps-sessions", "nothing else switches a system under a session"),
    ("bad-policy-refused-at-build", "only Nix builds a system from a policy"),
    ("firewall-backends", "these rules are NixOS' own"),
    ("docker-coexists", "Docker is not installed for tests elsewhere"),
    ("nscd-does-not-leak", "only NixOS answers every name over nscd's socket"),
    ("fleet-two-hosts", "only Nix gives several hosts one policy"),
];

/// Most of them that there may be.
const MOST_NIXOS_ONLY: usize = 6;

/// The demonstration is no test of the suite: here it is `cargo xtask demo`.
const DEMONSTRATION: &str = "demonstration";

/// What of the suite NixOS' tests do not run: program, the tests whose names hold this, reason.
const HERE_ONLY: &[(&str, &str, &str)] = &[
    ("agent_tools", "", "agents come from npm, which has no network in a test of NixOS"),
    ("agents", "", "agents come from npm, which has no network in a test of NixOS"),
    ("battery_network", "every_wall", "takes longer than a test of NixOS may"),
    ("direct_work", "", "what git does is the same on every distribution"),
    ("endurance", "", "takes longer than a test of NixOS may"),
    ("lab", "", "proves the lab itself, which is the same everywhere"),
    ("lifecycle", "what_does_not_exist", "words of the command line"),
    ("mutation", "", "takes longer than a test of NixOS may"),
    ("mutation_daemon", "", "takes longer than a test of NixOS may"),
    ("net_flush", "", "the kernel's table, the same on every distribution"),
    ("net_ssh_agent", "git_clones", "runs Debian's sshd and git"),
    ("net_ssh_agent", "cargo_is_told", "runs Debian's cargo"),
    ("net_work", "cargo_fetches", "runs Debian's cargo"),
    ("net_work", "git_clones", "runs Debian's sshd and git"),
    ("net_work", "npm_installs", "runs Debian's npm"),
    ("net_work", "pip_installs", "runs Debian's pip"),
    ("overlay_scale", "", "makes disks, and takes longer than a test of NixOS may"),
    ("overlay_work", "", "package managers of Debian at the paths of Debian"),
    ("rig_network", "", "NetworkManager and networkd as Debian has them"),
    ("rig_package", "", "the package is Debian's"),
    ("rig_rendered", "", "every test of NixOS boots with what the module renders"),
    ("slow_files", "", "what a thread waits for is the same on every distribution"),
    ("soak", "", "takes longer than a test of NixOS may"),
    ("supply_chain", "", "package managers of Debian at the paths of Debian"),
    ("work", "", "package managers of Debian at the paths of Debian"),
];

/// What a test is told where the kernel has the guard.
const GUARD: &str = "AGENTBOX_TEST_GUARD";

/// A test of the suite.
type Name = (String, String);

/// Every test of the suite: program and function.
fn suite() -> Result<BTreeSet<Name>> {
    let directory = root().join("crates/agentbox-suite/tests");
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(&directory).context("no tests of the suite")?.flatten() {
        let name = entry.file_name();
        let Some(program) = name.to_str().and_then(|name| name.strip_suffix(".rs")) else { continue };
        let text = std::fs::read_to_string(entry.path())?;
        all.extend(test_names(&text).into_iter().map(|function| (program.to_owned(), function)));
    }
    Ok(all)
}

pub(super) fn compare(tests: &BTreeSet<String>, parts: &BTreeMap<String, Vec<Part>>) -> Result<()> {
    let faults = faults(&suite()?, tests, parts, HERE_ONLY, NIXOS_ONLY);
    ensure!(faults.is_empty(), "{}", faults.join("\n  "));
    Ok(())
}

/// Whether a test is of this program and its name holds these words.
fn holds(program: &str, words: &str, name: &Name) -> bool {
    name.0 == program && name.1.contains(words)
}

/// Everything in which the two places differ without a reason.
fn faults(
    suite: &BTreeSet<Name>,
    tests: &BTreeSet<String>,
    parts: &BTreeMap<String, Vec<Part>>,
    here_only: &[(&str, &str, &str)],
    nixos_only: &[(&str, &str)],
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut there = BTreeSet::new();
    for test in tests {
        let parts = parts.get(test).map(Vec::as_slice).unwrap_or_default();
        let has_reason = nixos_only.iter().any(|(name, _)| name == test) || test == DEMONSTRATION;
        if parts.is_empty() != has_reason {
            faults.push(format!("{test}: either it runs parts of the suite, or it is listed with a reason"));
        }
        for part in parts {
            faults.extend(taken(suite, part, &mut there).into_iter().map(|fault| format!("{test}: {fault}")));
        }
    }
    if nixos_only.len() > MOST_NIXOS_ONLY {
        faults.push(format!("{} tests have no twin; {MOST_NIXOS_ONLY} may", nixos_only.len()));
    }
    for (name, _) in nixos_only.iter().filter(|(name, _)| !tests.contains(*name)) {
        faults.push(format!("{name} is listed and not there"));
    }
    for (program, words, _) in here_only {
        let named = suite.iter().filter(|name| holds(program, words, name));
        match named.clone().count() {
            0 => faults.push(format!("{program} {words}: a reason for no test")),
            _ => faults.extend(named.filter(|name| there.contains(*name)).map(|(program, function)| {
                format!("{program}::{function} has a reason not to run on NixOS, and runs there")
            })),
        }
    }
    let without = suite.iter().filter(|name| {
        !there.contains(*name) && !here_only.iter().any(|(program, words, _)| holds(program, words, name))
    });
    faults.extend(without.map(|(program, function)| {
        format!("{program}::{function} is proved here only: run it in tests-vm, or say why not")
    }));
    faults
}

/// Adds what a part runs, and says what of it is not there or runs nowhere here.
fn taken(suite: &BTreeSet<Name>, part: &Part, there: &mut BTreeSet<Name>) -> Vec<String> {
    let mut faults = Vec::new();
    let every = [String::new()];
    for word in if part.only.is_empty() { &every[..] } else { &part.only[..] } {
        let run: Vec<_> = suite.iter().filter(|name| holds(&part.program, word, name)).collect();
        if run.is_empty() {
            faults.push(format!("the suite has no {} {word}", part.program));
        }
        // With a service it runs in the container or the virtual machine; without, on this one, where every test runs.
        let in_rig = |name: &Name| {
            let holds = |only: &Option<&str>| only.is_none_or(|only| name.1.contains(only));
            SUITE_PARTS.iter().any(|(program, only)| *program == name.0 && holds(only)) || runs_in_vm(&name.0)
        };
        for name in run.iter().filter(|name| part.service && !in_rig(name)) {
            faults.push(format!("{}::{} with a service runs in no rig here", name.0, name.1));
        }
        there.extend(run.into_iter().cloned());
    }
    // Where the kernel is to have the guard, it is the virtual machine's.
    if part.environment.contains_key(GUARD) && !runs_in_vm(&part.program) {
        faults.push(format!("{} runs on no kernel with the guard here", part.program));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(program: &str, only: &[&str], service: bool) -> Part {
        let only = only.iter().map(ToString::to_string).collect();
        Part { program: program.to_owned(), only, service, environment: BTreeMap::new() }
    }

    fn judged(part_of: &Part, here_only: &[(&str, &str, &str)], nixos_only: &[(&str, &str)]) -> Vec<String> {
        let suite = [("work", "git"), ("work", "npm"), ("rig_service", "scope")]
            .map(|(program, function)| (program.to_owned(), function.to_owned()))
            .into();
        let tests = [("a".to_owned(), vec![part_of.clone(), part("rig_service", &[], true)])].into();
        let mut names = BTreeSet::from(["a".to_owned()]);
        names.extend(nixos_only.iter().map(|(name, _)| name.to_string()));
        faults(&suite, &names, &tests, here_only, nixos_only)
    }

    #[test]
    fn what_is_proved_in_one_place_only_needs_a_reason() {
        let git = part("work", &["git"], false);
        let guarded = Part {
            environment: BTreeMap::from([(GUARD.to_owned(), "1".to_owned())]),
            ..part("work", &[], false)
        };
        assert!(judged(&part("work", &[], false), &[], &[]).is_empty());
        assert!(judged(&git, &[("work", "npm", "reason")], &[("switch", "reason")]).is_empty());
        for (found, faults) in [
            ("work::npm is proved here only", judged(&git, &[], &[])),
            ("a reason for no test", judged(&git, &[("work", "npm", ""), ("work", "pip", "")], &[])),
            ("and runs there", judged(&git, &[("work", "", "")], &[])),
            ("the suite has no work pip", judged(&part("work", &["pip"], false), &[("work", "", "")], &[])),
            ("the suite has no nothing", judged(&part("nothing", &[], false), &[("work", "", "")], &[])),
            ("runs in no rig here", judged(&part("work", &[], true), &[], &[])),
            ("runs on no kernel with the guard", judged(&guarded, &[], &[])),
            ("a: either", judged(&part("work", &[], false), &[], &[("a", "")])),
        ] {
            assert!(faults.iter().any(|fault| fault.contains(found)), "{found}: {faults:#?}");
        }
    }

    #[test]
    fn a_test_without_parts_needs_a_reason_and_few_have_one() {
        let names: Vec<String> = (0..=MOST_NIXOS_ONLY).map(|at| format!("n{at}")).collect();
        let listed: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "reason")).collect();
        let tests: BTreeSet<String> = names.iter().cloned().collect();
        let of = |listed: &[(&str, &str)]| faults(&BTreeSet::new(), &tests, &BTreeMap::new(), &[], listed);
        assert!(of(&listed)[0].contains("7 tests have no twin"), "{:?}", of(&listed));
        assert!(of(&listed[1..])[0].starts_with("n0: either"), "{:?}", of(&listed[1..]));
        let gone = [("gone", "reason")];
        assert!(of(&gone).iter().any(|fault| fault.contains("gone is listed and not there")));
    }
}
