//! A person's ssh-agent with keys in it: the programs of OpenSSH, as that person.

use crate::person::Person;
use crate::run::{Finished, eventually, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Name of the socket in its directory.
const SOCKET: &str = "agent.sock";

/// Where an agent will be. Its path is known before the machine is made whose environment holds it.
#[derive(Debug)]
pub struct AgentPlace(tempfile::TempDir);

impl AgentPlace {
    /// A directory of its own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("agentbox-keys-").tempdir()?))
    }

    /// Path of the socket.
    #[must_use]
    pub fn socket(&self) -> String {
        self.path(SOCKET).to_string_lossy().into_owned()
    }

    /// Path of something in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A key of an agent.
#[derive(Debug, Clone)]
pub struct Key {
    /// `SHA256:…`
    pub fingerprint: String,
    /// The public key as one line.
    pub public: String,
    /// Path of the private key.
    pub path: PathBuf,
}

/// The agent; ended when dropped, which has to be before its person's machine is.
#[derive(Debug)]
pub struct KeyAgent<'a> {
    place: &'a AgentPlace,
    person: &'a Person,
    child: Child,
}

impl<'a> KeyAgent<'a> {
    /// Starts one without keys.
    ///
    /// # Errors
    /// When ssh-agent(1) does not start.
    pub fn start(place: &'a AgentPlace, person: &'a Person) -> Result<Self> {
        chown(place.0.path(), Some(person.uid), Some(person.gid))?;
        let _ = fs::remove_file(place.socket());
        let mut command = person.command("/usr/bin/ssh-agent");
        command.args(["-D", "-a", &place.socket()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let agent = Self { place, person, child };
        eventually("ssh-agent answers", LIMIT, || {
            // 1: it has no keys; 2: there is none.
            Ok((agent.ask(&["/usr/bin/ssh-add", "-l"])?.status == 1).then_some(()))
        })?;
        Ok(agent)
    }

    /// A program as the person, with this agent.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn ask(&self, command: &[&str]) -> Result<Finished> {
        let (program, arguments) = command.split_first().context("no program")?;
        let mut command = self.person.command(program);
        command.args(arguments).env("SSH_AUTH_SOCK", self.place.socket()).current_dir(self.place.0.path());
        run(&mut command, b"", LIMIT)
    }

    /// Makes a key of a kind (`ed25519`, `rsa`, `ecdsa`) and adds it, with these options of ssh-add(1).
    ///
    /// # Errors
    /// When it cannot be made or added.
    pub fn add(&self, kind: &str, name: &str, options: &[&str]) -> Result<Key> {
        let path = self.place.path(name);
        let text = path.to_string_lossy();
        let comment = format!("{name} of /home/somebody");
        let make = ["/usr/bin/ssh-keygen", "-q", "-t", kind, "-N", "", "-C", &comment, "-f", &text];
        self.ask(&make)?.success()?;
        self.ask(&[&["/usr/bin/ssh-add", "-q"], options, &[&*text]].concat())?.success()?;
        let shown = self.ask(&["/usr/bin/ssh-keygen", "-l", "-f", &text])?.success()?.text();
        let fingerprint = shown.split(' ').nth(1).context("no fingerprint")?.to_owned();
        ensure!(fingerprint.starts_with("SHA256:"), "{shown}");
        let public = fs::read_to_string(path.with_extension("pub"))?.trim().to_owned();
        Ok(Key { fingerprint, public, path })
    }

    /// Process id of the agent.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for KeyAgent<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a public key signed a commit, as git finds with a list of whom to trust.
///
/// # Errors
/// When git cannot be run.
pub fn commit_is_signed(repository: &Path, key: &Key) -> Result<bool> {
    let trusted = tempfile::NamedTempFile::new()?;
    fs::write(trusted.path(), format!("* {}\n", key.public))?;
    let mut command = Command::new("git");
    let setting = format!("gpg.ssh.allowedSignersFile={}", trusted.path().display());
    command.args(["-c", "safe.directory=*", "-c", &setting, "-C"]).arg(repository);
    let finished = run(command.args(["verify-commit", "HEAD"]), b"", LIMIT)?;
    Ok(finished.status == 0)
}
