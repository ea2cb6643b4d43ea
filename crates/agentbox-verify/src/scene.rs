//! What is planted for the attacks to find. All of it is this run's own: a directory in the person's home that stands for a
//! home with everything in it, and a file beside the person's own credentials where they have such directories. Nothing of
//! the person's is read, changed or replaced, and all of it is removed whatever ends this program.

use crate::listeners::Listeners;
use crate::program::{self, Next, Running};
use crate::{Error, Level};
use agentbox_probe::{Canary, Facts, Host, Person, Planted, Victim};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

const PATIENCE: Duration = Duration::from_secs(30);
/// What everything that is made begins with; `agentbox-probe keep` removes nothing else.
pub(crate) const NAME: &str = ".agentbox-verify-";

/// Secrets of a home, by class: where attacks look for them.
pub const SECRETS: &[(&str, &[&str])] = &[
    ("ssh", &[".ssh/id_ed25519", ".ssh/config.d/secret"]),
    ("cloud", &[".aws/credentials", ".config/gcloud/application_default_credentials.json", ".kube/config"]),
    ("gpg", &[".gnupg/private-keys-v1.d/key.key"]),
    ("browser", &[".mozilla/firefox/a.default/logins.json", ".config/google-chrome/Default/Login Data"]),
    ("history", &[".bash_history", ".zsh_history"]),
    ("keyring", &[".local/share/keyrings/login.keyring"]),
    ("tokens", &[".netrc", ".config/gh/hosts.yml", ".docker/config.json"]),
];

/// Where people keep them. A file of our own is put beside theirs where the directory is there.
const DIRECTORIES: &[(&str, &str)] = &[
    ("ssh", ".ssh"),
    ("cloud", ".aws"),
    ("cloud", ".config/gcloud"),
    ("cloud", ".kube"),
    ("gpg", ".gnupg"),
    ("browser", ".mozilla/firefox"),
    ("browser", ".config/google-chrome"),
    ("keyring", ".local/share/keyrings"),
    ("tokens", ".config/gh"),
    ("tokens", ".docker"),
];

/// Variables that hold secrets: `start` is given all of them that the person's configuration does not pass.
const VARIABLES: &[&str] = &[
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CARGO_REGISTRY_TOKEN",
    "DB_PASSWORD",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "NPM_TOKEN",
    "PGPASSWORD",
    "SOME_API_KEY",
    "VAULT_TOKEN",
];

/// Everything that was planted. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Names this run.
    pub(crate) tag: String,
    /// The directory that holds the rest.
    pub(crate) base: PathBuf,
    /// Project of the session.
    pub(crate) project: PathBuf,
    /// Project of what is tried outside.
    pub(crate) outside: PathBuf,
    /// What an attack may look for.
    pub(crate) facts: Facts,
    pub(crate) listeners: Listeners,
    canary: String,
    variables: Vec<&'static str>,
    probe: PathBuf,
    victim: Option<Running>,
    keeper: Option<Running>,
}

impl Scene {
    /// Plants it. `passed`: variables that the configuration lets into a session.
    pub(crate) fn plant(home: &Path, probe: &Path, level: Level, passed: &[String]) -> Result<Self, Error> {
        sweep(home);
        let tag = format!("v{}", random_hex(5)?);
        let base = home.join(format!("{NAME}{tag}"));
        let beside: Vec<(&str, PathBuf)> = DIRECTORIES
            .iter()
            .map(|(class, directory)| (*class, home.join(directory)))
            .filter(|(_, directory)| fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir()))
            .map(|(class, directory)| (class, directory.join(format!("{NAME}{tag}"))))
            .collect();
        // What `t6.temporary-file` leaves, on either side.
        let left = ['o', 'i'].map(|side| PathBuf::from(format!("/tmp/agentbox-probe-{tag}{side}")));
        let kept = std::iter::once(&base).chain(beside.iter().map(|(_, path)| path)).chain(&left);
        let keeper = keep(probe, kept)?;
        let canary = format!("canary-{}", random_hex(12)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut secrets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let text = format!("secret = {canary}\n");
        let stand_in = base.join("home");
        for (class, names) in SECRETS {
            for name in *names {
                let path = stand_in.join(name);
                write(&path, &text)?;
                // At L1 files of the host are seen, and only where credentials are kept are they hidden.
                if level == Level::L2 {
                    secrets.entry((*class).to_owned()).or_default().push(shown(&path));
                }
            }
        }
        for (class, path) in &beside {
            write(path, &text)?;
            secrets.entry((*class).to_owned()).or_default().push(shown(path));
        }
        write(&stand_in.join("other/.env"), &format!("KEY={canary}\n"))?;
        write(&stand_in.join("notes.txt"), "notes\n")?;
        write(&base.join("key"), &canary)?;
        let (project, outside) = (base.join("project"), base.join("outside"));
        for place in [&project, &outside] {
            repository(place, probe)?;
        }
        let listeners = Listeners::start(&tag)?;
        let variables =
            VARIABLES.iter().copied().filter(|name| !passed.iter().any(|one| one == name)).collect();
        let facts = Facts {
            canary: Canary::new(&canary),
            planted_unix_s: now,
            tag: tag.clone(),
            person: Person {
                uid: rustix::process::getuid().as_raw(),
                gid: rustix::process::getgid().as_raw(),
                home: shown(&stand_in),
            },
            project: shown(&project),
            planted: Planted {
                secrets,
                other_project: Some(shown(&stand_in.join("other/.env"))),
                own_file: Some(shown(&stand_in.join("notes.txt"))),
                session_key: Some(format!("agentbox-verify-{tag}")),
                ..Planted::default()
            },
            host: host()?,
            oom_score_adj: Some(200),
            network: Some(listeners.network.clone()),
            ..Facts::default()
        };
        let mut scene = Self {
            tag,
            base,
            project,
            outside,
            facts,
            listeners,
            canary,
            variables,
            probe: probe.to_owned(),
            victim: None,
            keeper: Some(keeper),
        };
        scene.facts.secret_names = scene.variables.iter().map(|name| (*name).to_owned()).collect();
        scene.facts.planted.handle = scene.handle();
        scene.begin_victim()?;
        Ok(scene)
    }

    /// A program with what a careless caller hands down: secrets in variables, and a session keyring with a key.
    pub(crate) fn careless(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.probe);
        command.args(["with-key", self.facts.planted.session_key.as_deref().unwrap_or_default()]);
        command.arg(self.base.join("key")).arg("--").arg(program);
        for name in &self.variables {
            command.env(name, &self.canary);
        }
        command
    }

    /// What is planted, for attacks that are tried in this project, with a tag of their own.
    pub(crate) fn facts_for(&self, project: &Path, side: char) -> Facts {
        let mut facts = self.facts.clone();
        facts.project = shown(project);
        facts.tag = format!("{}{side}", self.tag);
        if let Some(network) = &mut facts.network {
            network.tag = format!("{}{side}", self.tag);
        }
        facts
    }

    /// Whether these bytes hold the secret.
    pub(crate) fn secret_in(&self, text: &str) -> bool {
        text.contains(&self.canary)
    }

    /// What reached the process on the host: a line for each signal.
    pub(crate) fn signals(&mut self) -> Vec<String> {
        let Some(victim) = &mut self.victim else { return Vec::new() };
        let mut lines = Vec::new();
        while let Next::Line(line) = victim.next(Duration::from_millis(50)) {
            lines.push(line);
        }
        lines
    }

    /// Every file below the person's stand-in and the session's project, with what is in it.
    pub(crate) fn fingerprint(&self) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for place in [self.base.join("home"), self.project.clone()] {
            prints(&place, &mut found);
        }
        found
    }

    fn handle(&self) -> Option<agentbox_probe::Handle> {
        let secret = self.facts.planted.secrets.values().flatten().next()?;
        let said = program::lines(Command::new(&self.probe).args(["handle", secret]), PATIENCE).ok()?;
        serde_json::from_str(said.first()?).ok()
    }

    fn begin_victim(&mut self) -> Result<(), Error> {
        let stand_in = self.base.join("home");
        let mut command = Command::new(&self.probe);
        // It bears the names of both sides, by which it would be found.
        let names = format!("{0}o-{0}i", self.tag);
        command.args(["victim", &names, "/tmp", "/var/tmp", "/dev/shm"]).arg(&stand_in);
        command.env("AGENTBOX_PROBE_SECRET", &self.canary).current_dir(&stand_in).stdin(Stdio::piped());
        let mut victim = Running::spawn(&mut command)?;
        if let Next::Line(line) = victim.next(PATIENCE)
            && let Ok(held) = serde_json::from_str::<Victim>(&line)
        {
            self.facts.planted.agent_socket = held.path_sockets.first().cloned();
            self.facts.victim = Some(held);
            self.victim = Some(victim);
            return Ok(());
        }
        let (_, errors) = victim.finish(PATIENCE)?;
        Err(Error::new(format!("a process to attack could not be started: {}", errors.trim())))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The one removes what it made in shared directories, the other everything else.
        for helper in [self.victim.take(), self.keeper.take()].into_iter().flatten() {
            let mut helper = helper;
            helper.let_go();
            if let Ok((1.., errors)) = helper.finish(PATIENCE) {
                eprintln!("agentboxctl: something was left behind: {}", errors.trim());
            }
        }
    }
}

/// Removes what an earlier run left that lost even its keeper, as when the machine was switched off.
fn sweep(home: &Path) {
    let directories =
        std::iter::once(home.to_owned()).chain(DIRECTORIES.iter().map(|(_, name)| home.join(name)));
    for entry in directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(NAME);
        let Ok(kind) = entry.file_type() else { continue };
        if !ours {
            continue;
        }
        if kind.is_file() {
            // Beside credentials; the directory of its run is what is locked.
            let run = home.join(entry.file_name());
            if !run.exists() {
                let _next_time = fs::remove_file(entry.path());
            }
        } else if kind.is_dir()
            && File::open(entry.path())
                .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
        {
            remove(&entry.path());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "as the person, in their own home: there are no rights to lend"
)]
fn remove(directory: &Path) {
    let _next_time = fs::remove_dir_all(directory);
}

fn keep<'a>(probe: &Path, paths: impl Iterator<Item = &'a PathBuf>) -> Result<Running, Error> {
    let mut keeper = Running::spawn(Command::new(probe).arg("keep").args(paths).stdin(Stdio::piped()))?;
    match keeper.next(PATIENCE) {
        Next::Line(line) if line == "kept" => Ok(keeper),
        _ => Err(Error::new("nobody would remove what is planted")),
    }
}

/// A repository with git's own directories, and the probe where a session can run it.
fn repository(place: &Path, probe: &Path) -> Result<(), Error> {
    make_directory(place)?;
    write(&place.join("README"), "a project of agentboxctl verify\n")?;
    let mut git = Command::new("git");
    git.args(["-c", "init.templateDir=", "init", "--quiet", "--initial-branch=main", "."]).current_dir(place);
    // Without git there are still directories of its to attack.
    let _made_by_hand_below = program::lines(&mut git, PATIENCE);
    for directory in [".git/hooks", ".git/info"] {
        make_directory(&place.join(directory))?;
    }
    let own = place.join("agentbox-probe");
    fs::copy(probe, &own).map_err(|error| Error::io(own.display(), error))?;
    Ok(())
}

fn host() -> Result<Host, Error> {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let inode =
        |name: &&str| Some(((*name).to_owned(), fs::metadata(format!("/proc/self/ns/{name}")).ok()?.ino()));
    let groups =
        rustix::process::getgroups().map_err(|errno| Error::io("cannot read one's groups", errno))?;
    let mut groups: Vec<u32> = groups.into_iter().map(|group| group.as_raw()).collect();
    groups.push(rustix::process::getgid().as_raw());
    Ok(Host {
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        namespaces: names.iter().filter_map(inode).collect(),
        groups,
        supervisor_files: Vec::new(),
    })
}

fn prints(directory: &Path, found: &mut BTreeMap<PathBuf, (u32, u32, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            prints(&path, found);
        }
        let content = if metadata.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        found.insert(path, (metadata.mode(), metadata.uid(), content));
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|error| Error::io(path.display(), error))
}

/// Never over a file that is there.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent()
        && !parent.is_dir()
    {
        make_directory(parent)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Error::io(path.display(), error))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::io("no random numbers", errno))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
