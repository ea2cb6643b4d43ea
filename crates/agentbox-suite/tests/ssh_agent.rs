//! The ssh-agent of a session: chosen keys, chosen purposes, nothing else, and nothing after its end.

use agentbox_suite::{AgentPlace, Key, KeyAgent, Machine, Programs, Session, commit_is_signed};
use anyhow::{Result, ensure};

const OPTIONS: &[&str] = &["--profile", "keys", "--network", "none"];

fn machine(place: &AgentPlace) -> Result<Machine> {
    Machine::with(Programs::real()?, &[("SSH_AUTH_SOCK", &place.socket())])
}

/// A profile with one key and what it may be used for.
fn grant(machine: &Machine, key: &Key, more: &str) -> Result<()> {
    machine
        .configure(&format!("[profile.keys]\nssh_agent = {{ keys = [\"{}\"], {more} }}\n", key.fingerprint))
}

fn sh(session: &Session<'_>, script: &str) -> Result<agentbox_suite::Finished> {
    session.exec(&["timeout", "100", "sh", "-ec", script])
}

#[test]
fn only_chosen_keys_are_seen_and_git_signs_with_them() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let (chosen, other) = (agent.add("ed25519", "chosen", &[])?, agent.add("rsa", "other", &[])?);
    grant(&machine, &chosen, "sign = [\"git\"]")?;
    let session = machine.detached_with("L2", OPTIONS, &["sleep", "600"])?;
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);

    let list = sh(&session, "ssh-add -l; ssh-add -L")?.success()?.text();
    ensure!(list.contains(&chosen.fingerprint) && !list.contains(&other.fingerprint), "{list}");
    // Comments hold paths and addresses.
    ensure!(!list.contains("/home/somebody"), "{list}");

    let script = format!(
        "git init -q repository; cd repository; echo text > file; git add file\n\
         git -c user.name=A -c user.email=a@b -c gpg.format=ssh -c user.signingkey='key::{}' commit -q -S -m one",
        chosen.public
    );
    sh(&session, &script)?.success()?;
    ensure!(commit_is_signed(&machine.project().join("repository"), &chosen)?, "not signed");
    ensure!(!commit_is_signed(&machine.project().join("repository"), &other)?, "signed by anybody");
    Ok(())
}
