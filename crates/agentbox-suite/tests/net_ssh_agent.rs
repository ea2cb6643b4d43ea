//! git over ssh with keys of the person's agent, against a real server: for the chosen host and no other.

use agentbox_suite::lab::{Guest, Lab, Ssh};
use agentbox_suite::{AgentPlace, Key, KeyAgent, Programs, Session, commit_is_signed};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const OPTIONS: &[&str] = &[
    "--profile",
    "keys",
    "--network",
    "allowlist",
    "--allow",
    "github.com:22",
    "--allow",
    "github.com:2222",
];

/// A lab with a server, and the path of the agent that the person will have.
fn lab() -> Result<(Lab, AgentPlace)> {
    let mut lab = Lab::new()?;
    lab.publish_packages()?;
    lab.start_ssh()?;
    Ok((lab, AgentPlace::new()?))
}

fn guest<'lab>(lab: &'lab Lab, place: &AgentPlace) -> Result<Guest<'lab>> {
    lab.machine_with(Programs::real()?, &[("SSH_AUTH_SOCK", &place.socket())])
}

fn server(lab: &Lab) -> Result<&Ssh> {
    lab.ssh().context("no server")
}

/// The person knows the host by all of its keys, and the server knows the person's.
fn acquaint(guest: &Guest<'_>, lab: &Lab, key: &Key, more: &str) -> Result<()> {
    let server = server(lab)?;
    server.authorize(&key.public)?;
    let known: String = server.host_keys.iter().map(|line| format!("github.com {line}\n")).collect();
    let file = guest.person.home.join(".ssh/known_hosts");
    guest.person.write(&file, known.as_bytes(), 0o600)?;
    // As Debian's ssh writes it.
    guest
        .person
        .shell(&guest.person.home, "ssh-keygen -q -H -f .ssh/known_hosts; rm .ssh/known_hosts.old")?;
    guest.configure_more(&format!(
        "[profile.keys]\nssh_agent = {{ keys = [\"{}\"], hosts = [\"github.com\"]{more} }}\n",
        key.fingerprint
    ))
}

/// Events of a kind, of all sessions.
fn events(guest: &Guest<'_>, kind: &str) -> Result<Vec<Value>> {
    let text = guest.ctl(&["log", "--json"])?.success()?.text();
    let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(events.into_iter().filter(|event| event["event"] == kind).collect())
}

fn refused(guest: &Guest<'_>, session: &Session<'_>, reason: &str) -> Result<()> {
    let events = events(guest, "sign-refused")?;
    ensure!(events.iter().any(|event| event["reason"] == reason), "{reason}: {events:?}");
    let told = session.exec(&["cat", "/run/agentbox/denials.jsonl"])?.success()?.text();
    ensure!(told.contains(&format!("\"reason\":\"{reason}\"")), "{reason}: {told}");
    Ok(())
}

#[test]
fn git_clones_and_pushes_signed_commits_with_a_key_that_it_never_has() -> Result<()> {
    let (lab, place) = lab()?;
    let guest = guest(&lab, &place)?;
    let agent = KeyAgent::start(&place, &guest.person)?;
    let (chosen, other) = (agent.add("ed25519", "chosen", &[])?, agent.add("ed25519", "other", &[])?);
    acquaint(&guest, &lab, &chosen, ", sign = [\"git\"]")?;
    let session = guest.waiting(OPTIONS)?;
    // No option of ssh: neither does it ask, nor is it told where to look.
    let script = format!(
        "git clone -q root@github.com:lab/tiny.git clone </dev/null; cat clone/README; cd clone\n\
         git config user.name A; git config user.email a@b; git config gpg.format ssh; git config commit.gpgsign true\n\
         git config user.signingkey 'key::{}'\n\
         echo more >> README; git commit -qam more; git push -q origin HEAD:refs/heads/pushed",
        chosen.public
    );
    let said = guest.sh_in(&session, &script)?.success()?;
    ensure!(said.text() == "hello from the forge\n", "{said:?}");
    let repository = lab.directory().join("files/github.com/lab/tiny.git");
    let pushed = format!("git -c safe.directory='*' -C {} log --format=%s -1 pushed", repository.display());
    ensure!(lab.shell_outside(&pushed)?.success()?.text() == "more\n");
    ensure!(commit_is_signed(&guest.project().join("clone"), &chosen)?);
    ensure!(!commit_is_signed(&guest.project().join("clone"), &other)?);

    let signed = events(&guest, "sign-allowed")?;
    let is = |purpose: &str, host: Value| {
        let same = |event: &&Value| {
            event["purpose"] == purpose
                && event["host"] == host
                && event["key"] == chosen.fingerprint.as_str()
        };
        signed.iter().filter(same).count()
    };
    ensure!(is("login", "github.com".into()) == 1 && is("git", Value::Null) == 1, "{signed:?}");
    let told = guest.ctl(&["log", &session.id])?.success()?.text();
    ensure!(told.contains(&format!("a login at github.com with {}", chosen.fingerprint)), "{told}");
    Ok(())
}

#[test]
fn hosts_prove_themselves_with_every_kind_of_key() -> Result<()> {
    let (lab, place) = lab()?;
    let guest = guest(&lab, &place)?;
    let agent = KeyAgent::start(&place, &guest.person)?;
    let key = agent.add("rsa", "chosen", &[])?;
    acquaint(&guest, &lab, &key, "")?;
    let session = guest.waiting(OPTIONS)?;
    for algorithm in
        ["ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"]
    {
        let script = format!(
            "GIT_SSH_COMMAND='ssh -o HostKeyAlgorithms={algorithm}' git ls-remote -q root@github.com:lab/tiny.git"
        );
        guest.sh_in(&session, &script)?.success().context(algorithm)?;
    }
    Ok(())
}

#[test]
fn nothing_is_signed_for_another_host() -> Result<()> {
    let (lab, place) = lab()?;
    let guest = guest(&lab, &place)?;
    let agent = KeyAgent::start(&place, &guest.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    acquaint(&guest, &lab, &key, "")?;
    let other = lab.other_ssh()?;
    other.authorize(&key.public)?;
    let session = guest.waiting(OPTIONS)?;
    let look = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let script = format!("GIT_SSH_COMMAND='ssh {look} -p 2222' git ls-remote root@github.com:lab/tiny.git");
    // With the agent itself it works.
    let outside = format!("export SSH_AUTH_SOCK={}; {script}", place.socket());
    lab.shell_outside(&outside)?.success()?;
    let inside = guest.sh_in(&session, &script)?;
    ensure!(inside.status != 0 && inside.error_text().contains("Permission denied"), "{inside:?}");
    refused(&guest, &session, "other-host")?;
    ensure!(other.log()?.matches("Accepted publickey").count() == 1, "{}", other.log()?);
    // The same session goes on with the host that was chosen.
    guest.sh_in(&session, "git ls-remote -q root@github.com:lab/tiny.git")?.success()?;
    Ok(())
}

#[test]
fn an_agent_that_is_forwarded_signs_nothing() -> Result<()> {
    let (lab, place) = lab()?;
    let guest = guest(&lab, &place)?;
    let agent = KeyAgent::start(&place, &guest.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    acquaint(&guest, &lab, &key, "")?;
    // A server that lets its visitors run what they like, on the machine of the chosen host.
    let server = server(&lab)?;
    server.serve_anything()?;
    let jump = "ssh -A root@github.com 'ssh-add -l; ssh -o StrictHostKeyChecking=no \
                -o UserKnownHostsFile=/dev/null root@127.0.0.1 echo arrived'";
    let outside = format!(
        "export SSH_AUTH_SOCK={}; ssh() {{ command ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \"$@\"; }}; {jump}",
        place.socket()
    );
    let outside = lab.shell_outside(&outside)?.success()?;
    ensure!(outside.text().contains("arrived"), "{outside:?}");
    let session = guest.waiting(OPTIONS)?;
    let inside = guest.sh_in(&session, jump)?;
    ensure!(inside.status != 0 && !inside.text().contains("arrived"), "{inside:?}");
    ensure!(!inside.text().contains(&key.fingerprint), "the list was forwarded: {inside:?}");
    refused(&guest, &session, "forwarded")
}

#[test]
fn cargo_is_told_why_its_own_ssh_is_refused_and_the_remedy_works() -> Result<()> {
    let (lab, place) = lab()?;
    let guest = guest(&lab, &place)?;
    let agent = KeyAgent::start(&place, &guest.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    // The table is closed, and another one opened.
    acquaint(&guest, &lab, &key, " }\nread = [\"~/.rustup\"]\ngit = { name = \"A\"")?;
    let programs = guest.plant_toolchain()?;
    let session = guest.waiting(OPTIONS)?;
    let script = format!(
        "export PATH={}:$PATH CARGO_NET_RETRY=0; cargo init -q --lib --vcs none --name uses uses; cd uses\n\
         echo 'tiny = {{ git = \"ssh://root@github.com/lab/tiny.git\" }}' >> Cargo.toml",
        programs.display()
    );
    let own = guest.sh_in(&session, &format!("{script}; cargo fetch"))?;
    ensure!(own.status != 0, "{own:?}");
    refused(&guest, &session, "unbound")?;
    let told = session.exec(&["cat", "/run/agentbox/denials.jsonl"])?.text();
    ensure!(told.contains("net.git-fetch-with-cli"), "{told}");
    // What is fetched is no package; that it was fetched is what counts.
    let remedy = format!(
        "cd uses; export PATH={}:$PATH; CARGO_NET_GIT_FETCH_WITH_CLI=true cargo fetch",
        programs.display()
    );
    let fetched = guest.sh_in(&session, &remedy)?;
    ensure!(events(&guest, "sign-allowed")?.len() == 1, "{fetched:?}");
    Ok(())
}
