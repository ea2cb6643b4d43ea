//! Each check of the supervisor's is switched off once, and a scenario has to notice: somebody else who asks for what is
//! none of theirs, and configuration that bounds a session. Needs the testing build.

use agentbox_suite::bus::{MANAGER, PATH, call, converse, heard, neighbour};
use agentbox_suite::{Finished, Machine, Person, Programs, overlay, run};
use anyhow::{Context, Result, ensure};
use futures_util::future::join;
use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use zbus::{Connection, Fd, MessageStream, OwnedVariant, Variant};

const LIMIT: Duration = Duration::from_secs(120);
const SWITCH: &str = "AGENTBOX_TEST_SKIP";
/// The id of a session that never was.
const NEVER: &str = "bbbbbbbb";
const CONFIGURATION: &str = "[floor]\nisolation = \"sandbox\"\n\
     [ceiling]\nread = [\"/opt\"]\nallow = [\"a.example.org\"]\n";

/// Whether somebody gets with this check off what is kept from them.
type Scenario = fn(&Scene, &str) -> Result<bool>;

/// Each check with those that its scenario needs off beside it, and what has to notice. A check of whose something is has
/// the name of the method that asks it.
const CHECKS: &[(&str, &[&str], Scenario)] = &[
    ("caller-users", &[], a_stranger_is_answered),
    ("caller-leased", &[], a_leased_id_is_anybody),
    ("caller-root", &[], somebody_repairs),
    ("List", &[], sessions_of_others_are_listed),
    ("Status", &[], told_apart_from_none),
    ("Attach", &[], told_apart_from_none),
    ("Exec", &[], told_apart_from_none),
    ("Allow", &[], told_apart_from_none),
    ("Deny", &[], told_apart_from_none),
    ("Why", &[], told_apart_from_none),
    ("Freeze", &[], told_apart_from_none),
    ("Thaw", &[], told_apart_from_none),
    ("Notices", &["Stop"], told_apart_from_none),
    ("Report", &[], told_apart_from_none),
    ("Confirmations", &[], told_apart_from_none),
    ("Confirm", &[], told_apart_from_none),
    ("Stop", &[], told_apart_from_none),
    ("Log", &[], the_log_of_others_is_read),
    ("Changes", &[], changes_of_others_are_listed),
    ("Review", &[], a_layer_is_told_apart_from_none),
    ("Reviewed", &[], a_layer_is_told_apart_from_none),
    ("Start", &[], a_layer_is_told_apart_from_none),
    ("Discard", &[], a_layer_is_told_apart_from_none),
    ("KeptProfiles", &[], profiles_of_others_are_touched),
    ("ResetProfile", &[], profiles_of_others_are_touched),
    ("told", &[], others_hear_of_a_session),
    ("project-rights", &[], a_directory_of_roots_is_a_project),
    ("ceiling-of-allow", &[], the_owner_allows_more_than_the_ceiling),
    ("floor", &[], a_session_is_looser_than_the_floor),
    ("ceiling", &[], a_persons_file_grants_more_than_the_ceiling),
    ("project-file", &[], the_projects_file_holds_nothing),
    ("accepted-file", &[], what_was_accepted_holds_no_more),
];

#[test]
fn every_check_of_the_supervisor_is_missed_when_it_is_off() -> Result<()> {
    let mut scene = Scene::new()?;
    let mut wrong = Vec::new();
    scene.with("", |scene| {
        for (check, _, noticed) in CHECKS {
            if noticed(scene, check).with_context(|| format!("{check}, with every check in force"))? {
                wrong.push(format!("{check}: noticed with every check in force"));
            }
        }
        Ok(())
    })?;
    for (check, beside, noticed) in CHECKS {
        if !beside.is_empty() && scene.with(&beside.join(","), |scene| noticed(scene, check))? {
            wrong.push(format!("{check}: noticed while only {beside:?} is off"));
        }
        let off: Vec<&str> = beside.iter().chain([check]).copied().collect();
        let found = scene.with(&off.join(","), |scene| noticed(scene, check)).context(*check)?;
        println!("{check:<18} {}", if found { "noticed" } else { "MISSED" });
        if !found {
            wrong.push(format!("{check}: off, and nothing is otherwise"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn configuration_that_others_could_have_written_counts_only_when_that_check_is_off() -> Result<()> {
    let machine = Machine::with(Programs::testing()?, &[])?;
    let file = machine.config().join("agentbox.toml");
    let starts = |off: &str| -> Result<bool> {
        let mut line = machine.command(&machine.start_arguments("L2", &["--network", "none"], &["true"]));
        let said = run(line.env(SWITCH, off), b"", LIMIT)?;
        machine.wait_until_supervisor_ended()?;
        ensure!(said.status == 0 || said.error_text().contains("agentbox.toml"), "{said:?}");
        Ok(said.status == 0)
    };
    ensure!(starts("")?, "with a good one");
    for (check, owner, mode) in
        [("configuration-mode", 0, 0o646), ("configuration-owner", machine.person.uid, 0o644)]
    {
        chown(&file, Some(owner), None)?;
        fs::set_permissions(&file, Permissions::from_mode(mode))?;
        ensure!(!starts("")?, "{check}: noticed with every check in force");
        ensure!(starts(check)?, "{check}: off, and nothing is otherwise");
        println!("{check:<18} noticed");
    }
    machine.ends_without_leftovers()
}

/// A person with a session that runs and a layer of one that ended, and others.
struct Scene {
    machine: Machine,
    /// May use the supervisor.
    other: Person,
    /// May not.
    stranger: Person,
    /// A session of the person's that left changes.
    layer: String,
    /// Its session that runs.
    running: String,
    directories: AtomicUsize,
}

impl Scene {
    fn new() -> Result<Self> {
        let machine = Machine::with(Programs::testing()?, &[])?;
        machine.configure(CONFIGURATION)?;
        let other = neighbour(&machine)?;
        let notes = machine.person.home.join("notes");
        machine.person.make_directory(&notes)?;
        let own = format!("[profile.mine]\nread = [{notes:?}]\n");
        let file = machine.person.home.join(".config/agentbox/agentbox.toml");
        machine.person.write(&file, own.as_bytes(), 0o644)?;
        let (layer, _) = overlay::session(&machine, "L2", "echo more >> README")?;
        machine.wait_until_supervisor_ended()?;
        other.make_directory(&other.home.join("project"))?;
        let stranger = Person::new()?;
        Ok(Self { machine, other, stranger, layer, running: String::new(), directories: AtomicUsize::new(0) })
    }

    /// Does something with a session that runs under a supervisor without these checks.
    fn with<T>(&mut self, off: &str, what: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let options = ["--detach", "--network", "allowlist"];
        let arguments = self.machine.start_arguments("L2", &options, &["sleep", "600"]);
        let mut line = self.machine.command(&arguments);
        let started = run(line.env(SWITCH, off), b"", LIMIT)?.success()?;
        self.running = started.text().trim().to_owned();
        let result = what(self);
        self.machine.session_ids()?;
        self.machine.ctl(&["stop", "--all", "--timeout", "2s"])?.success()?;
        self.machine.wait_until_supervisor_ended()?;
        result
    }

    /// A new directory of the person's.
    fn directory(&self) -> Result<PathBuf> {
        let number = self.directories.fetch_add(1, Ordering::Relaxed);
        let path = self.machine.person.home.join(format!("project-{number}"));
        self.machine.person.make_directory(&path)?;
        Ok(path)
    }

    /// Starts a session of a directory; what its start says of the network.
    fn start(&self, directory: &std::path::Path, options: &[&str]) -> Result<Finished> {
        let directory = directory.to_string_lossy();
        let line = [&["start", &directory, "--verbose"], options, &["--", "true"]].concat();
        self.machine.ctl(&line)
    }

    /// Calls a method as somebody: an error is what it says.
    fn ask<T: Send>(&self, uid: u32, what: impl AsyncFnOnce(&Connection) -> Result<T> + Send) -> Result<T> {
        converse(&self.machine, uid, what)
    }
}

/// Calls a method about a session, or about what one left.
async fn about(scene: &Scene, connection: &Connection, method: &str, id: &str) -> Result<String> {
    let nothing: HashMap<&str, Variant<'_>> = HashMap::new();
    let said = match method {
        "Attach" => call(connection, PATH, MANAGER, method, &(id, nothing)).await,
        "Exec" => call(connection, PATH, MANAGER, method, &(id, ["true"].as_slice(), nothing)).await,
        "Reviewed" => {
            let taken = HashMap::from([("written", Variant::from(0_u64))]);
            call(connection, PATH, MANAGER, method, &(id, taken)).await
        }
        "Stop" => call(connection, PATH, MANAGER, method, &(id, 2000_u64)).await,
        "Allow" => call(connection, PATH, MANAGER, method, &(id, "a.example.org", 0_u64)).await,
        "Deny" | "Why" => call(connection, PATH, MANAGER, method, &(id, "a.example.org")).await,
        "Notices" => {
            // It waits for one, or for the end of the session.
            let (notices, end) = ((id, 0_u64), (id, 2000_u64));
            let notices = call(connection, PATH, MANAGER, method, &notices);
            join(notices, call(connection, PATH, MANAGER, "Stop", &end)).await.0
        }
        "Confirm" => call(connection, PATH, MANAGER, method, &(id, 1_u64, true)).await,
        "Start" => {
            let request = HashMap::from([("resume", Variant::from(id))]);
            let project = File::open(scene.other.home.join("project"))?;
            call(connection, PATH, MANAGER, method, &(Fd::from(OwnedFd::from(project)), request)).await
        }
        _ => call(connection, PATH, MANAGER, method, &id).await,
    };
    Ok(match said {
        Ok(answer) => format!("{:?}", answer.body().signature()),
        Err(error) => error.to_string().replace(id, "ID"),
    })
}

fn differs(scene: &Scene, method: &str, id: &str) -> Result<bool> {
    scene.ask(scene.other.uid, async |connection| {
        Ok(about(scene, connection, method, id).await? != about(scene, connection, method, NEVER).await?)
    })
}

fn told_apart_from_none(scene: &Scene, method: &str) -> Result<bool> {
    differs(scene, method, &scene.running)
}

fn a_layer_is_told_apart_from_none(scene: &Scene, method: &str) -> Result<bool> {
    differs(scene, method, &scene.layer)
}

fn a_stranger_is_answered(scene: &Scene, _: &str) -> Result<bool> {
    scene.ask(scene.stranger.uid, async |connection| {
        Ok(call(connection, PATH, MANAGER, "List", &()).await.is_ok())
    })
}

/// That nobody has such an account is found out behind it, in other words.
fn a_leased_id_is_anybody(scene: &Scene, _: &str) -> Result<bool> {
    scene.ask(scene.machine.lease_range().start, async |connection| {
        let said = call(connection, PATH, MANAGER, "List", &()).await;
        Ok(!said.is_err_and(|error| error.to_string().contains("rule: uid_range")))
    })
}

fn somebody_repairs(scene: &Scene, _: &str) -> Result<bool> {
    scene.ask(scene.other.uid, async |connection| {
        Ok(call(connection, PATH, MANAGER, "Repair", &()).await.is_ok())
    })
}

/// How many there are in a list of everything of the caller's.
fn listed(scene: &Scene, method: &str) -> Result<usize> {
    scene.ask(scene.other.uid, async |connection| {
        let answer = call(connection, PATH, MANAGER, method, &()).await?;
        let all: Vec<HashMap<String, OwnedVariant>> = answer.body().deserialize()?;
        Ok(all.len())
    })
}

fn sessions_of_others_are_listed(scene: &Scene, method: &str) -> Result<bool> {
    Ok(listed(scene, method)? > 0)
}

fn changes_of_others_are_listed(scene: &Scene, method: &str) -> Result<bool> {
    Ok(listed(scene, method)? > 0)
}

fn the_log_of_others_is_read(scene: &Scene, method: &str) -> Result<bool> {
    scene.ask(scene.other.uid, async |connection| {
        match call(connection, PATH, MANAGER, method, &(&scene.running, 0_u64)).await {
            Ok(answer) => Ok(!answer.body().deserialize::<Vec<String>>()?.is_empty()),
            Err(error) if error.to_string().contains("the trail tells nothing") => Ok(false),
            Err(error) => Err(error)?,
        }
    })
}

fn profiles_of_others_are_touched(scene: &Scene, method: &str) -> Result<bool> {
    let owner = scene.machine.person.uid;
    scene.ask(scene.other.uid, async |connection| {
        let said = match method {
            "KeptProfiles" => call(connection, PATH, MANAGER, method, &owner).await,
            _ => call(connection, PATH, MANAGER, method, &(owner, "mine")).await,
        };
        Ok(!said.is_err_and(|error| error.to_string().contains("kept for somebody else")))
    })
}

fn others_hear_of_a_session(scene: &Scene, _: &str) -> Result<bool> {
    let (subscribed, is_subscribed) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let listens = scope.spawn(move || {
            scene.ask(scene.other.uid, async move |connection| {
                let mut stream = MessageStream::from(connection);
                call(connection, PATH, MANAGER, "Subscribe", &()).await?;
                subscribed.send(())?;
                may_go_on.recv_timeout(LIMIT)?;
                // What was sent to them came before this answer.
                call(connection, PATH, MANAGER, "List", &()).await?;
                heard(&mut stream, None).await
            })
        });
        is_subscribed.recv_timeout(LIMIT)?;
        scene.machine.inside("L2", &["true"])?.success()?;
        go_on.send(())?;
        let heard = listens.join().map_err(|_panic| anyhow::anyhow!("who listens"))??;
        Ok(!heard.is_empty())
    })
}

fn a_directory_of_roots_is_a_project(scene: &Scene, _: &str) -> Result<bool> {
    let closed = tempfile::tempdir()?;
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700))?;
    let directory = OwnedFd::from(File::open(closed.path())?);
    scene.ask(scene.other.uid, async move |connection| {
        let request: HashMap<&str, Variant<'_>> = HashMap::new();
        let said = call(connection, PATH, MANAGER, "Trust", &(Fd::from(directory), request)).await;
        Ok(!said.is_err_and(|error| error.to_string().contains("cannot be opened by")))
    })
}

fn the_owner_allows_more_than_the_ceiling(scene: &Scene, _: &str) -> Result<bool> {
    scene.ask(scene.machine.person.uid, async |connection| {
        let asked = (&scene.running, "b.example.org", 0_u64);
        let said = call(connection, PATH, MANAGER, "Allow", &asked).await;
        Ok(!said.is_err_and(|error| error.to_string().contains("ceiling.allow")))
    })
}

fn a_session_is_looser_than_the_floor(scene: &Scene, _: &str) -> Result<bool> {
    let said = scene.start(&scene.directory()?, &["--posture", "L0", "--yes-unconfined"])?;
    ensure!(said.status == 0 || said.error_text().contains("floor"), "{said:?}");
    Ok(said.status == 0)
}

fn a_persons_file_grants_more_than_the_ceiling(scene: &Scene, _: &str) -> Result<bool> {
    let said = scene.start(&scene.directory()?, &["--profile", "mine", "--network", "none"])?;
    ensure!(said.status == 0 || said.error_text().contains("ceiling"), "{said:?}");
    Ok(said.status == 0)
}

/// Whether a session that a project's file keeps from the network has one.
fn has_network(scene: &Scene, directory: &std::path::Path) -> Result<bool> {
    let said = scene.start(directory, &[])?.success()?.error_text();
    let network = said.lines().find_map(|line| line.trim().strip_prefix("network "));
    Ok(network.context("no network is told")?.trim() != "none")
}

fn the_projects_file_holds_nothing(scene: &Scene, _: &str) -> Result<bool> {
    let directory = scene.directory()?;
    scene.machine.person.write(&directory.join(".agentbox.toml"), b"network = \"none\"\n", 0o644)?;
    has_network(scene, &directory)
}

fn what_was_accepted_holds_no_more(scene: &Scene, _: &str) -> Result<bool> {
    let directory = scene.directory()?;
    let file = directory.join(".agentbox.toml");
    scene.machine.person.write(&file, b"network = \"none\"\n", 0o644)?;
    ensure!(!has_network(scene, &directory)?, "the project's file says nothing");
    fs::remove_file(&file)?;
    has_network(scene, &directory)
}
