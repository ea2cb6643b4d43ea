//! The ssh-agent of a session: chosen keys, chosen purposes, nothing else, and nothing after its end.

use agentbox_probe::{Facts, Listing, NEEDS_AGENT, Outcome, Record};
use agentbox_suite::battery::Outside;
use agentbox_suite::{
    AgentPlace, Finished, Key, KeyAgent, Machine, Programs, Running, Session, commit_is_signed, eventually,
    run,
};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const OPTIONS: &[&str] = &["--profile", "keys", "--network", "none"];
const INSIDE: &str = "/run/agentbox/ssh-agent.sock";
/// Nobody has its private half.
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

fn machine(place: &AgentPlace) -> Result<Machine> {
    Machine::with(Programs::real()?, &[("SSH_AUTH_SOCK", &place.socket())])
}

/// A profile with one key and what it may be used for.
fn grant(machine: &Machine, key: &Key, more: &str) -> Result<()> {
    machine
        .configure(&format!("[profile.keys]\nssh_agent = {{ keys = [\"{}\"], {more} }}\n", key.fingerprint))
}

fn waiting(machine: &Machine) -> Result<Session<'_>> {
    machine.detached_with("L2", OPTIONS, &["sleep", "600"])
}

fn sh(session: &Session<'_>, script: &str) -> Result<Finished> {
    session.exec(&["timeout", "100", "sh", "-ec", script])
}

fn python(session: &Session<'_>, script: &str) -> Result<Finished> {
    session.exec(&["timeout", "100", "/usr/bin/python3", "-c", script])
}

/// A commit that git signs with this key.
fn commit(name: &str, key: &Key) -> String {
    format!(
        "git init -q {name}; cd {name}; echo text > file; git add file\n\
         git -c user.name=A -c user.email=a@b -c gpg.format=ssh -c user.signingkey='key::{}' commit -q -S -m one",
        key.public
    )
}

fn events(machine: &Machine, kind: &str) -> Result<Vec<Value>> {
    let text = machine.ctl(&["log", "--json"])?.success()?.text();
    let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(events.into_iter().filter(|event| event["event"] == kind).collect())
}

fn reasons(machine: &Machine) -> Result<Vec<String>> {
    let events = events(machine, "sign-refused")?;
    Ok(events.iter().filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect())
}

/// Processes that run under the id of a gate of keys.
fn gates(machine: &Machine) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let with_status =
        pids.filter_map(|pid| Some((pid, fs::read_to_string(format!("/proc/{pid}/status")).ok()?)));
    with_status
        .filter(|(_, status)| {
            let uid = field(status, "Uid:").parse::<u32>().unwrap_or(0);
            machine.lease_range().contains(&uid)
                && uid % 4 == (machine.lease_range().start + 3) % 4
                && field(status, "State:") != "Z"
        })
        .collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    line.split_ascii_whitespace().next().unwrap_or("")
}

fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

#[test]
fn only_chosen_keys_are_seen_and_git_signs_with_them() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let (chosen, other) = (agent.add("ed25519", "chosen", &[])?, agent.add("rsa", "other", &[])?);
    grant(&machine, &chosen, "sign = [\"git\"]")?;
    let session = waiting(&machine)?;
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);

    let list = sh(&session, "ssh-add -l; ssh-add -L")?.success()?.text();
    ensure!(list.contains(&chosen.fingerprint) && !list.contains(&other.fingerprint), "{list}");
    // Comments hold paths and addresses.
    ensure!(!list.contains("/home/somebody"), "{list}");

    sh(&session, &commit("repository", &chosen))?.success()?;
    ensure!(commit_is_signed(&machine.project().join("repository"), &chosen)?, "not signed");
    ensure!(!commit_is_signed(&machine.project().join("repository"), &other)?, "signed by anybody");
    let signed = events(&machine, "sign-allowed")?;
    ensure!(signed.len() == 1 && signed[0]["key"] == chosen.fingerprint.as_str(), "{signed:?}");
    ensure!(signed[0]["purpose"] == "git" && signed[0]["session"] == session.id.as_str(), "{signed:?}");

    let refused = sh(&session, &commit("another", &other))?;
    ensure!(refused.status != 0, "{refused:?}");
    let values = session.status()?["values"].to_string();
    ensure!(values.contains("ssh_agent.keys") && !values.contains(&place.socket()), "{values}");
    machine.ctl(&["log", "--verify"])?.success().map(drop)
}

#[test]
fn without_the_permission_git_signs_nothing_and_the_session_is_told_why() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "hosts = [\"github.com\"]")?;
    let session = waiting(&machine)?;
    sh(&session, "ssh-add -l")?.success()?;
    ensure!(sh(&session, &commit("repository", &key))?.status != 0);
    let told = session.exec(&["cat", "/run/agentbox/denials.jsonl"])?.success()?.text();
    let line: Value = serde_json::from_str(told.lines().next().context("nothing was told")?)?;
    ensure!(
        line["reason"] == "not-permitted" && line["remedy"].to_string().contains("ssh_agent.sign"),
        "{line}"
    );
    ensure!(reasons(&machine)? == ["not-permitted"], "{:?}", reasons(&machine)?);
    ensure!(sh(&session, "echo forged >> /run/agentbox/denials.jsonl")?.status != 0);
    Ok(())
}

#[test]
fn the_attacks_on_an_agent_work_outside_and_are_refused_inside() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let (chosen, other) = (agent.add("ed25519", "chosen", &[])?, agent.add("ed25519", "other", &[])?);
    let known = format!("github.com {HOST_KEY}\n");
    machine.person.write(&machine.person.home.join(".ssh/known_hosts"), known.as_bytes(), 0o600)?;
    // All that there is to grant, so that what is refused is refused for another reason.
    grant(&machine, &chosen, "hosts = [\"github.com\"], sign = [\"git\"]")?;

    let mut command = std::process::Command::new(machine.programs.path("agentbox-probe"));
    let listed = run(command.args(["list", "--json"]), b"", LIMIT)?.success()?.text();
    let all = listed.lines().map(serde_json::from_str).collect::<Result<Vec<Listing>, _>>()?;
    let mine = all.iter().filter(|listing| listing.needs.iter().any(|need| need.starts_with(NEEDS_AGENT)));
    let ids: Vec<&str> = mine.map(|listing| listing.id.as_str()).collect();
    ensure!(ids.len() >= 9, "{ids:?}");

    let blob = |line: &str| -> Result<Vec<u8>> {
        let word = line.split(' ').nth(1).context("no key")?;
        let mut decode = std::process::Command::new("base64");
        Ok(run(decode.arg("-d"), word.as_bytes(), LIMIT)?.success()?.stdout)
    };
    let facts = |socket: &str| -> Result<Vec<u8>> {
        let agent = agentbox_probe::KeyAgent {
            socket: socket.to_owned(),
            chosen: blob(&chosen.public)?,
            other: blob(&other.public)?,
            host_key: blob(HOST_KEY)?,
        };
        Ok(serde_json::to_vec(&Facts { agent: Some(agent), ..Facts::default() })?)
    };
    let outcomes = |said: &Finished| -> Result<BTreeMap<String, Record>> {
        let records = said.text().lines().map(serde_json::from_str).collect::<Result<Vec<Record>, _>>()?;
        Ok(records.into_iter().map(|record| (record.id.clone(), record)).collect())
    };
    let arguments = [&["run", "--json", "--facts", "-"], &ids[..]].concat();
    let mut outside = machine.probe_outside(Outside::Person);
    let outside = outcomes(&run(outside.args(&arguments), &facts(&place.socket())?, LIMIT)?)?;
    let session = waiting(&machine)?;
    let inside = [&["./agentbox-probe"], &arguments[..]].concat();
    let inside = outcomes(&session.exec_with(&inside, &facts(INSIDE)?)?)?;
    for id in &ids {
        let (control, tried) =
            (outside.get(*id).context("no control")?, inside.get(*id).context("not tried")?);
        println!(
            "{id:<32} {:?}: {} | {:?}: {}",
            control.outcome, control.detail, tried.outcome, tried.detail
        );
        ensure!(control.outcome == Outcome::Succeeded, "{id}: its control: {control:?}");
        ensure!(tried.outcome == Outcome::Refused && tried.detail == "the agent did not", "{id}: {tried:?}");
    }
    // What was granted still works, the person's agent is as it was, and each refusal has its reason.
    sh(&session, &commit("repository", &chosen))?.success()?;
    let left = agent.ask(&["/usr/bin/ssh-add", "-l"])?.success()?.text();
    ensure!(left.lines().count() == 2, "{left}");
    let seen = reasons(&machine)?;
    for reason in ["key-not-listed", "not-permitted", "unbound", "bad-binding", "forwarded", "request"] {
        ensure!(seen.iter().any(|one| one == reason), "{reason}: {seen:?}");
    }
    Ok(())
}

#[test]
fn hostile_bytes_and_crowds_stop_nobody_else() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"]")?;
    let session = waiting(&machine)?;
    let before = descriptors(agent.pid())?;
    let script = format!(
        "import os, socket, struct\n\
         def connect():\n    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('{INSIDE}'); return s\n\
         def closed(s):\n    try: return s.recv(1) == b''\n    except ConnectionResetError: return True\n\
         for bad in (b'\\xff\\xff\\xff\\xff', struct.pack('>I', 32769), struct.pack('>I', 1 << 20) + b'x' * 70000):\n\
         \x20   s = connect()\n    try: s.sendall(bad)\n    except OSError: pass\n    assert closed(s), bad[:4]\n\
         for whole in (b'', b'\\x0d', b'\\x1b', b'\\x0b\\x00', os.urandom(32768), b'\\x0d' + b'\\xff' * 40):\n\
         \x20   s = connect(); s.sendall(struct.pack('>I', len(whole)) + whole)\n\
         \x20   assert s.recv(5) == b'\\0\\0\\0\\1\\5', whole[:4]\n\
         \x20   s.sendall(b'\\0\\0\\0\\1\\x0b'); answer = s.recv(5); assert answer[4:] == b'\\x0c', answer\n\
         for cut in (b'\\0', b'\\0\\0\\0\\x09\\x0d'):\n\
         \x20   s = connect(); s.sendall(cut); s.close()\n\
         def answers(s):\n\
         \x20   try: s.sendall(b'\\0\\0\\0\\1\\x0b'); return len(s.recv(5)) == 5\n\
         \x20   except OSError: return False\n\
         crowd = [connect() for _ in range(8)]\n\
         assert all(answers(s) for s in crowd)\n\
         more = []\n\
         for _ in range(40):\n\
         \x20   try: more.append(connect())\n\
         \x20   except BlockingIOError: pass\n\
         assert sum(answers(s) for s in more) <= 8\n\
         assert all(answers(s) for s in crowd)\n\
         print('through')\n"
    );
    let said = python(&session, &script)?.success()?;
    ensure!(said.text() == "through\n", "{said:?}");
    // Each client has a connection of its own, which ends with it.
    eventually("connections to the agent have ended", LIMIT, || {
        Ok((descriptors(agent.pid())? <= before).then_some(()))
    })?;
    sh(&session, &commit("repository", &key))?.success()?;
    let seen = reasons(&machine)?;
    ensure!(
        seen.iter().any(|one| one == "malformed") && seen.iter().any(|one| one == "too-many"),
        "{seen:?}"
    );
    Ok(())
}

#[test]
fn two_programs_sign_at_the_same_time() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"]")?;
    let session = waiting(&machine)?;
    let both = format!("({}) & ({}) & wait $!; wait", commit("one", &key), commit("two", &key));
    sh(&session, &both)?.success()?;
    for name in ["one", "two"] {
        ensure!(commit_is_signed(&machine.project().join(name), &key)?, "{name}");
    }
    Ok(())
}

#[test]
fn nothing_is_signed_after_the_end() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"]")?;
    let before = descriptors(agent.pid())?;
    let session = waiting(&machine)?;
    // A client that is connected when the session ends.
    let script = format!(
        "import socket, time\ns = socket.socket(socket.AF_UNIX); s.connect('{INSIDE}')\n\
         s.sendall(b'\\0\\0\\0\\1\\x0b'); assert s.recv(5); print('connected', flush=True); time.sleep(600)"
    );
    let mut client = Running::start(&mut machine.command(&[
        "exec",
        &session.id,
        "--",
        "/usr/bin/python3",
        "-c",
        &script,
    ]))?;
    client.wait_for(b"connected", LIMIT)?;
    ensure!(descriptors(agent.pid())? > before && gates(&machine).len() == 1);
    let socket = machine.runtime().join("sessions").join(&session.id).join("ssh-agent.sock");
    UnixStream::connect(&socket).context("root reaches it while the session lives")?;
    session.stop()?;
    ensure!(UnixStream::connect(&socket).is_err() && !socket.exists());
    ensure!(gates(&machine).is_empty());
    eventually("connections to the agent have ended", LIMIT, || {
        Ok((descriptors(agent.pid())? <= before).then_some(()))
    })?;
    drop(client);
    machine.ends_without_leftovers()
}

#[test]
fn a_session_keeps_its_agent_over_the_death_of_its_supervisor_and_loses_it_with_its_gate() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"]")?;
    let session = waiting(&machine)?;
    let supervisor = machine.ctl(&["status", "--json"])?.json()?["pid"].as_i64().context("no pid")?;
    kill_process(Pid::from_raw(i32::try_from(supervisor)?).context("no pid")?, Signal::KILL)?;
    // Whoever asks next is the next supervisor.
    sh(&session, &commit("one", &key))?.success()?;
    ensure!(events(&machine, "sign-allowed")?.len() == 1);
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);

    let gates = gates(&machine);
    let [(gate, status)] = &gates[..] else { anyhow::bail!("gates: {gates:?}") };
    for (name, value) in [("NoNewPrivs:", "1"), ("Seccomp:", "2"), ("CapEff:", "0000000000000000")] {
        ensure!(field(status, name) == value, "{name} {}", field(status, name));
    }
    kill_process(Pid::from_raw(*gate).context("no pid")?, Signal::KILL)?;
    eventually("the end of the gate is told", LIMIT, || {
        Ok((events(&machine, "keys-lost")?.len() == 1).then_some(()))
    })?;
    ensure!(sh(&session, &commit("two", &key))?.status != 0 && sh(&session, "true")?.status == 0);
    // Whoever looks is told, inside and outside.
    ensure!(session.posture_diff()?.iter().any(|line| line.contains("ssh-agent")), "{:?}", session.status()?);
    let told = session.exec(&["cat", "/run/agentbox/denials.jsonl"])?.success()?.text();
    ensure!(told.contains("agent-ended"), "{told}");
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn where_it_is_to_stop_without_its_gate_a_session_ends_with_its_gate_of_keys() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    machine.configure(&format!(
        "[profile.keys]\non_gate_loss = \"stop\"\nssh_agent = {{ keys = [\"{}\"], sign = [\"git\"] }}\n",
        key.fingerprint
    ))?;
    let session = waiting(&machine)?;
    sh(&session, &commit("one", &key))?.success()?;
    let gates = gates(&machine);
    let [(gate, _)] = &gates[..] else { anyhow::bail!("gates: {gates:?}") };
    kill_process(Pid::from_raw(*gate).context("no pid")?, Signal::KILL)?;
    eventually("the session has ended", LIMIT, || {
        let listed = machine.ctl(&["list", "--json"])?.success()?.json()?;
        Ok(listed.as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    ensure!(events(&machine, "keys-lost")?.len() == 1);
    machine.ends_without_leftovers()
}

/// What the kernel shows of the gate of keys that it should not: its filter, its namespaces, its mounts, its limits.
fn missing(machine: &Machine) -> Result<Vec<&'static str>> {
    let gates = gates(machine);
    let [(gate, status)] = &gates[..] else { anyhow::bail!("gates: {gates:?}") };
    let mut missing = Vec::new();
    let mut require = |holds: bool, step: &'static str| missing.extend((!holds).then_some(step));
    require(field(status, "Seccomp:") == "2", "gate-seccomp");
    require(field(status, "NoNewPrivs:") == "1" && field(status, "CapBnd:") == "0000000000000000", "rights");
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    require(namespace(&gate.to_string())? != namespace("self")?, "gate-namespace-net");
    let mounts = fs::read_to_string(format!("/proc/{gate}/mountinfo"))?;
    require(mounts.lines().count() == 1 && mounts.contains(" ro,"), "gate-root");
    let limits = fs::read_to_string(format!("/proc/{gate}/limits"))?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or("");
    require(
        files
            .split_ascii_whitespace()
            .nth(4)
            .is_some_and(|most| most.parse::<u64>().is_ok_and(|most| most < 64)),
        "limits",
    );
    Ok(missing)
}

#[test]
fn every_wall_of_the_gate_of_keys_is_missed_when_it_is_off() -> Result<()> {
    for step in ["", "gate-seccomp", "gate-namespace-net", "gate-root"] {
        let place = AgentPlace::new()?;
        let socket = place.socket();
        let environment = [("SSH_AUTH_SOCK", socket.as_str()), ("AGENTBOX_TEST_SKIP", step)];
        let machine = Machine::with(Programs::testing()?, &environment)?;
        let agent = KeyAgent::start(&place, &machine.person)?;
        let key = agent.add("ed25519", "chosen", &[])?;
        grant(&machine, &key, "sign = [\"git\"]")?;
        let session = waiting(&machine)?;
        sh(&session, "ssh-add -l")?.success()?;
        let expected: &[&str] = if step.is_empty() { &[] } else { &[step] };
        ensure!(missing(&machine)? == expected, "{step:?}: {:?}", missing(&machine)?);
    }
    Ok(())
}

#[test]
fn the_person_confirms_outside_of_the_agents_terminal() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"], confirm = true")?;
    let session = waiting(&machine)?;
    let begin = |name: &str| {
        let script = commit(name, &key);
        Running::start(&mut machine.command(&["exec", &session.id, "--", "sh", "-ec", &script]))
    };
    let person = |arguments: &[&str]| run(&mut machine.command_as_person(arguments), b"", LIMIT);
    let number = || {
        eventually("a signature waits", LIMIT, || {
            let waiting = person(&["confirm", &session.id, "--json"])?.json()?;
            Ok(waiting[0]["number"].as_u64().map(|number| number.to_string()))
        })
    };
    let accepted = begin("accepted")?;
    let first = number()?;
    let shown = person(&["confirm"])?.success()?.text();
    ensure!(shown.contains(&key.fingerprint) && shown.contains("a signature of git"), "{shown}");
    person(&["confirm", &session.id, &first])?.success()?;
    accepted.finish(LIMIT)?.success()?;
    ensure!(commit_is_signed(&machine.project().join("accepted"), &key)?);

    // Whoever looks at the session is told where to go.
    let looking = ["exec", &session.id, "--", "sh", "-c", "echo ready; exec sleep 600"];
    let mut attached = machine.terminal(&looking, 24, 120)?;
    attached.wait_for("ready", LIMIT)?;
    let declined = begin("declined")?;
    attached.wait_for("agentboxctl confirm", LIMIT)?;
    let second = number()?;
    ensure!(second != first, "a number was used twice");
    person(&["confirm", &session.id, &second, "--deny"])?.success()?;
    ensure!(declined.finish(LIMIT)?.status != 0);
    ensure!(person(&["confirm", &session.id, &second])?.status != 0, "confirmed after it was declined");
    ensure!(reasons(&machine)? == ["declined"], "{:?}", reasons(&machine)?);
    ensure!(events(&machine, "sign-confirmed")?[0]["caller_uid"] == machine.person.uid);

    // So is whoever looks later, and a terminal that follows asks for it.
    let followed = begin("followed")?;
    number()?;
    let mut late = machine.terminal(&looking, 24, 120)?;
    late.wait_for("agentboxctl confirm", LIMIT)?;
    let mut following = machine.terminal(&["confirm", "--follow"], 24, 160)?;
    following.wait_for("Type `yes` or `no`", LIMIT)?;
    following.send("yes\r")?;
    following.wait_for("confirmed", LIMIT)?;
    followed.finish(LIMIT)?.success()?;
    ensure!(commit_is_signed(&machine.project().join("followed"), &key)?);
    drop((late, following));

    // One that nobody waits for any more, since its session has ended.
    let third = begin("third")?;
    let number = number()?;
    session.stop()?;
    ensure!(third.finish(LIMIT)?.status != 0);
    ensure!(person(&["confirm", &session.id, &number])?.status != 0);
    Ok(())
}

#[test]
fn root_is_nobodys_deputy() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "sign = [\"git\"]")?;
    let works = || -> Result<bool> {
        let session = waiting(&machine)?;
        let listed = sh(&session, "ssh-add -l")?;
        session.stop()?;
        Ok(listed.text().contains(&key.fingerprint))
    };
    ensure!(works()?);
    let socket = place.socket();
    let moved = place.path("moved");
    fs::rename(&socket, &moved)?;
    // By a link of the person's: theirs to choose.
    std::os::unix::fs::symlink(&moved, &socket)?;
    ensure!(works()?);

    // What root can reach and the person cannot: another's agent, in a directory of another's.
    let private = tempfile::tempdir()?;
    let elsewhere = private.path().join("agent.sock");
    let of_root = UnixListener::bind(&elsewhere)?;
    of_root.set_nonblocking(true)?;
    fs::remove_file(&socket)?;
    std::os::unix::fs::symlink(&elsewhere, &socket)?;
    ensure!(!works()?);
    ensure!(of_root.accept().is_err(), "root connected");
    // Reachable for everybody, and still not the person's.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(private.path(), fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o777))?;
    ensure!(!works()?);
    ensure!(of_root.accept().is_err(), "root connected");
    // A file of the person's at which another listens.
    std::os::unix::fs::chown(&elsewhere, Some(machine.person.uid), Some(machine.person.gid))?;
    ensure!(!works()?);
    drop(agent);
    fs::remove_file(&socket)?;
    ensure!(!works()?);
    Ok(())
}

#[test]
fn where_there_is_no_place_for_a_socket_or_no_agent_there_is_none_and_it_is_said() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let agent = KeyAgent::start(&place, &machine.person)?;
    let key = agent.add("ed25519", "chosen", &[])?;
    grant(&machine, &key, "hosts = [\"github.com\"], sign = [\"git\"]")?;
    let script = format!("test ! -e {INSIDE}; test -z \"$SSH_AUTH_SOCK\"");
    let start = |posture: &str| {
        let more = ["--profile", "keys", "--network", "none", "--verbose"];
        machine
            .start_arguments(posture, &more, &["sh", "-ec", &script])
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    };
    let arguments: Vec<String> = start("L1");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = machine.ctl(&words)?.success()?;
    ensure!(said.error_text().contains("no ssh-agent"), "{said:?}");
    let arguments: Vec<String> = start("L2");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut without = machine.command(&words);
    without.env_remove("SSH_AUTH_SOCK");
    let said = run(&mut without, b"", LIMIT)?.success()?;
    ensure!(said.error_text().contains("SSH_AUTH_SOCK is not set"), "{said:?}");
    // With one it is there, and nothing is known of the host yet.
    let said = machine.ctl(&words)?;
    ensure!(
        said.status != 0 && said.error_text().contains("no key of the host `github.com` is known"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn a_projects_own_file_grants_no_key() -> Result<()> {
    let place = AgentPlace::new()?;
    let machine = machine(&place)?;
    let file =
        "[profile.keys]\nssh_agent = { keys = [\"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\"] }\n";
    machine.person.write(&machine.project().join(".agentbox.toml"), file.as_bytes(), 0o644)?;
    let refused = machine.inside("L2", &["true"])?;
    ensure!(refused.status == 125 && refused.error_text().contains("a project's own file"), "{refused:?}");
    Ok(())
}
