//! What the session's owner and the project say in files of their own.
//!
//! They are read as their owner. When root starts a session of somebody else's project, a child does it
//! that is that person: first [`become_owner`], which still is root and gives everything up, then
//! [`read_and_print`], whose output is JSON of the types here and is parsed with bounds.

use crate::account::Account;
use crate::child;
use crate::errors::Failure;
use crate::git::{Author, Question};
use crate::inspect::{self, Depth, Names};
use crate::layers;
use crate::project::Project;
use crate::ssh::{self, Lookup};
use agentbox_policy::{AgentHost, Inspection, KnownKeys, Layer};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// First argument of the child that is still root.
pub(crate) const AS_OWNER: &str = "__as-owner";
/// First argument of the child that reads.
pub(crate) const READ: &str = "__read-own-files";
/// How much the child looks at: what a start needs, or only the project and all of it.
const TOP: &str = "top";
const WHOLE: &str = "whole";
/// This program, whatever its path has become.
const OURSELVES: &str = "/proc/self/exe";
/// Whether the reading child looks for hosts.
const WITH_AGENT: &str = "agent";
const WITHOUT_AGENT: &str = "no-agent";
/// Two files of [`agentbox_policy::MAX_FILE_BYTES`] as JSON.
const MOST_BYTES: usize = 8 << 20;
/// Home directories can be on a network.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the owner's git may be; root's own PATH is not the owner's business.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin";

/// What was read.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnFiles {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<Layer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_file: Option<Layer>,
    #[serde(default)]
    pub(crate) author: Author,
    /// What was found in the project.
    #[serde(default)]
    pub(crate) inspection: Inspection,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) known: Vec<KnownKeys>,
}

/// What the reading child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Read(Box<OwnFiles>),
    Failed(String),
}

/// Reading that is under way while something else is done.
#[derive(Debug)]
pub(crate) enum Reading {
    /// In this process.
    Here { files: Box<OwnFiles>, git: Option<Question>, known: Lookup, directory: Option<OwnedFd> },
    /// By a child that is the owner.
    ByOwner { child: Child, owner_uid: u32 },
}

impl Reading {
    /// Begins. `person` is what was already read of the caller's own file, `profile` the one asked for, `home` the
    /// caller's.
    pub(crate) fn begin(
        project: &Project,
        person: Option<Layer>,
        profile: Option<&str>,
        home: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        // Who has no agent needs no hosts for it.
        let has_agent = environment.contains_key(ssh::AGENT_VARIABLE);
        let mut hosts = if has_agent { ssh::system_hosts() } else { BTreeSet::new() };
        if rustix::process::geteuid().is_root() && project.owner_uid != 0 {
            let owner = owner(project)?;
            if hosts.is_empty() && nothing_to_read(project, Path::new(&owner.home)) {
                let known = Lookup::default();
                return Ok(Self::Here { files: Box::default(), git: None, known, directory: None });
            }
            let child = spawn_owner(project, &owner, Depth::Top, profile, has_agent.then_some(&hosts))?;
            return Ok(Self::ByOwner { child, owner_uid: project.owner_uid });
        }
        let project_file = layers::project_layer(&project.directory, &project.path)?;
        let git = match home {
            Some(home)
                if wants_author(&project.directory, person.as_ref(), project.name.as_deref(), profile) =>
            {
                Question::ask(home, environment)
            }
            _ => None,
        };
        let known = match home {
            Some(home) if has_agent => {
                hosts.extend(person.iter().flat_map(ssh::hosts));
                Lookup::begin(&hosts, home, environment.get("PATH").map(String::as_str))
            }
            _ => Lookup::default(),
        };
        let files = OwnFiles { person, project_file, ..OwnFiles::default() };
        let directory = Some(duplicate(project)?);
        Ok(Self::Here { files: Box::new(files), git, known, directory })
    }

    /// Waits for the end of it.
    pub(crate) fn finish(self) -> Result<OwnFiles, Failure> {
        match self {
            Self::Here { mut files, git, known, directory } => {
                files.known = known.finish();
                files.author = git.map(Question::answer).unwrap_or_default();
                if let Some(directory) = directory {
                    let names = names(&files.author, files.person.as_ref());
                    files.inspection = inspect::look(directory, &names, Depth::Top);
                }
                Ok(*files)
            }
            Self::ByOwner { child, owner_uid } => answer(child, owner_uid),
        }
    }
}

/// What the child that is the owner says.
fn answer(child: Child, owner_uid: u32) -> Result<OwnFiles, Failure> {
    let unread = |why: String| {
        Failure::new(format!("cannot read the files of user id {owner_uid} as that user: {why}"))
    };
    let (_, bytes) = child::output(child, MOST_BYTES, PATIENCE).map_err(|error| unread(error.to_string()))?;
    match serde_json::from_slice(&bytes) {
        Ok(Answer::Read(files)) => Ok(*files),
        Ok(Answer::Failed(text)) => Err(Failure::new(text)),
        Err(error) => Err(unread(format!("their reader said nothing that can be understood ({error})"))),
    }
}

/// Looks into a whole project as its owner, whatever its own file says.
pub(crate) fn inspect(
    project: &Project,
    home: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Inspection, Failure> {
    if rustix::process::geteuid().is_root() && project.owner_uid != 0 {
        let child = spawn_owner(project, &owner(project)?, Depth::Whole, None, None)?;
        return Ok(answer(child, project.owner_uid)?.inspection);
    }
    let git = home.and_then(|home| Question::ask(home, environment));
    let author = git.map(Question::answer).unwrap_or_default();
    // A file of the person's that cannot be read names nobody; a start says what is wrong with it.
    let person = home.and_then(|home| layers::person_layer(home).ok().flatten());
    Ok(inspect::look(&project.directory, &names(&author, person.as_ref()), Depth::Whole))
}

/// How whoever runs this process is called: on this machine, in git, in profiles.
fn names(author: &Author, person: Option<&Layer>) -> Names {
    let login = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let mut names = Names::new(login.as_deref(), author.name.as_deref(), author.email.as_deref());
    for git in person
        .into_iter()
        .flat_map(|layer| layer.config.profile.values())
        .filter_map(|table| table.git.as_ref())
    {
        let (name, email) = (git.name.as_ref(), git.email.as_ref());
        names.add(Names::new(None, name.map(|name| name.as_str()), email.map(|email| email.as_str())));
    }
    names
}

fn duplicate(project: &Project) -> Result<OwnedFd, Failure> {
    let copy = project.directory.try_clone();
    copy.map_err(|error| Failure::system("cannot hand on the project's directory", error))
}

/// Whether git has to be asked: only for a repository, and only where the profile names no author.
fn wants_author(
    directory: impl std::os::fd::AsFd,
    person: Option<&Layer>,
    project: Option<&str>,
    profile: Option<&str>,
) -> bool {
    let named_by_profile = person.is_some_and(|layer| {
        let of_project = || {
            let (_, table) = layer.config.project.iter().find(|(name, _)| Some(name.as_str()) == project)?;
            table.profile.as_ref().map(|name| name.as_str())
        };
        let profile = profile.or_else(of_project);
        let table = layer.config.profile.iter().find(|(name, _)| Some(name.as_str()) == profile);
        table
            .and_then(|(_, table)| table.git.as_ref())
            .is_some_and(|git| git.name.is_some() && git.email.is_some())
    });
    !named_by_profile && Project::has_git(directory)
}

/// Whether the owner certainly has no file that the child would read: a process spared. Names are looked
/// up without opening anything and without following a link; whatever is not plainly absent, the child
/// finds out with the owner's rights.
fn nothing_to_read(project: &Project, home: &Path) -> bool {
    let is_absent = |path: PathBuf| {
        let (flags, how) = (OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
        let found = rustix::fs::openat2(CWD, path, flags, Mode::empty(), how);
        matches!(found, Err(Errno::NOENT))
    };
    let project_file =
        rustix::fs::statat(&project.directory, layers::PROJECT_FILE, AtFlags::SYMLINK_NOFOLLOW);
    matches!(project_file, Err(Errno::NOENT))
        && inspect::is_plain(&project.directory)
        && is_absent(layers::person_file(home))
        && (!Project::has_git(&project.directory)
            || (is_absent(home.join(".gitconfig")) && is_absent(home.join(".config/git/config"))))
}

fn owner(project: &Project) -> Result<Account, Failure> {
    Account::of(project.owner_uid).map_err(|failure| {
        Failure::new(format!(
            "{}, but {} belongs to it\ngive the project to the person whose session it shall be",
            failure.text(),
            project.path
        ))
    })
}

/// `hosts` are those that the system's profiles name; none when there is no agent to log in anywhere.
fn spawn_owner(
    project: &Project,
    owner: &Account,
    depth: Depth,
    profile: Option<&str>,
    hosts: Option<&BTreeSet<AgentHost>>,
) -> Result<Child, Failure> {
    // Their place says what they are.
    let has_agent = if hosts.is_some() { WITH_AGENT } else { WITHOUT_AGENT };
    let hosts = hosts.into_iter().flatten().map(ToString::to_string);
    let directory = duplicate(project)?;
    Command::new(OURSELVES)
        .arg(AS_OWNER)
        .args([owner.uid.to_string(), owner.gid.to_string()])
        .arg(&owner.home)
        .arg(&project.path)
        .arg(if depth == Depth::Whole { WHOLE } else { TOP })
        .arg(profile.unwrap_or_default())
        .arg(has_agent)
        .args(hosts)
        .env_clear()
        .current_dir("/")
        .stdin(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::system("cannot start the reader of the owner's files", error))
}

/// The child that is still root. It leaves the terminal and every other descriptor behind, for the owner may
/// trace the process that it becomes, and then becomes the owner without a way back.
pub(crate) fn become_owner(arguments: &[OsString]) -> ExitCode {
    let number = |at: usize| arguments.get(at)?.to_str()?.parse::<u32>().ok();
    let (Some(uid @ 1..), Some(gid), Some(home)) = (number(0), number(1), arguments.get(2)) else {
        return ExitCode::FAILURE;
    };
    close_descriptors_above(2);
    if rustix::process::setsid().is_err() || rustix::thread::set_no_new_privs(true).is_err() {
        return ExitCode::FAILURE;
    }
    // The standard library drops root's supplementary groups before it changes the user id.
    let _not_executed = Command::new(OURSELVES)
        .arg(READ)
        .args(&arguments[2..])
        .env_clear()
        .env("HOME", home)
        .env("PATH", PATH)
        .uid(uid)
        .gid(gid)
        .exec();
    ExitCode::FAILURE
}

/// The child that is the owner: reads, prints one [`Answer`]. Standard input is the project's directory.
pub(crate) fn read_and_print(arguments: &[OsString]) -> ExitCode {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return ExitCode::FAILURE;
    }
    let (Some(home), Some(path)) = (arguments.first(), arguments.get(1).and_then(|path| path.to_str()))
    else {
        return ExitCode::FAILURE;
    };
    let text = |at: usize| arguments.get(at).and_then(|argument| argument.to_str());
    let profile = text(3).filter(|profile| !profile.is_empty());
    let hosts = (text(4) == Some(WITH_AGENT)).then(|| {
        let named = arguments[5..].iter().filter_map(|host| host.to_str()?.parse().ok());
        named.collect::<BTreeSet<AgentHost>>()
    });
    let home = PathBuf::from(home);
    let read = match text(2) {
        Some(WHOLE) => inspect_as_ourselves(&home),
        _ => read_as_ourselves(&home, path, profile, hosts),
    };
    let answer = match read {
        Ok(files) => Answer::Read(Box::new(files)),
        Err(failure) => Answer::Failed(failure.text().to_owned()),
    };
    match serde_json::to_writer(std::io::stdout(), &answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_as_ourselves(
    home: &Path,
    path: &str,
    profile: Option<&str>,
    hosts: Option<BTreeSet<AgentHost>>,
) -> Result<OwnFiles, Failure> {
    let directory = std::io::stdin();
    let person = layers::person_layer(home)?;
    let project_file = layers::project_layer(&directory, path)?;
    let mut author = Author::default();
    if wants_author(&directory, person.as_ref(), None, profile) {
        let environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        author = Question::ask(home, &environment).map(Question::answer).unwrap_or_default();
    }
    let known = hosts.map(|mut hosts| {
        hosts.extend(person.iter().flat_map(ssh::hosts));
        Lookup::begin(&hosts, home, Some(PATH)).finish()
    });
    let inspection = inspect::look(&directory, &names(&author, person.as_ref()), Depth::Top);
    Ok(OwnFiles { person, project_file, author, known: known.unwrap_or_default(), inspection })
}

fn inspect_as_ourselves(home: &Path) -> Result<OwnFiles, Failure> {
    let environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let author = Question::ask(home, &environment).map(Question::answer).unwrap_or_default();
    let person = layers::person_layer(home).ok().flatten();
    let inspection = inspect::look(std::io::stdin(), &names(&author, person.as_ref()), Depth::Whole);
    Ok(OwnFiles { inspection, ..OwnFiles::default() })
}

/// Closes what this process inherited and did not ask for. Nothing in it owns a descriptor yet.
pub(crate) fn close_descriptors_above(last: i32) {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let inherited: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > last)
        .collect();
    for number in inherited {
        // One of them was the directory that was just read: already closed.
        let _already_closed = nix::unistd::close(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_the_pipe_and_strangers_do_not() {
        let files =
            OwnFiles { author: Author { name: Some("A".into()), email: None }, ..OwnFiles::default() };
        let text = serde_json::to_string(&Answer::Read(Box::new(files))).unwrap();
        assert!(
            matches!(serde_json::from_str(&text).unwrap(), Answer::Read(read) if read.author.name.is_some())
        );
        for stranger in ["", "{}", r#"{"read":{"uid":0}}"#, r#"{"failed":{}}"#, r#"{"read":{}} x"#] {
            assert!(serde_json::from_str::<Answer>(stranger).is_err(), "{stranger}");
        }
    }

    #[test]
    fn git_is_asked_only_for_repositories() {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        assert!(!wants_author(&opened, None, None, None));
        std::fs::create_dir(directory.path().join(".git")).unwrap();
        assert!(wants_author(&opened, None, None, None));
        let layer: Layer = serde_json::from_value(serde_json::json!({ "file": "x", "config": {
            "profile": { "work": { "git": { "name": "A", "email": "a@b" } } },
            "project": { "site": { "path": "/s", "profile": "work" } },
        } }))
        .unwrap();
        assert!(!wants_author(&opened, Some(&layer), None, Some("work")));
        assert!(!wants_author(&opened, Some(&layer), Some("site"), None));
        assert!(wants_author(&opened, Some(&layer), None, Some("other")));
    }
}
