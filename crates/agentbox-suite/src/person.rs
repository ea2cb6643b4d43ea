//! A throw-away account.

use crate::run::{Finished, run};
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// In the accounts' entries, so that they are known as the tests' own: names alone could be anybody's.
const COMMENT: &str = "throw-away account of agentbox-suite";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An account of its own with a home; removed when dropped.
#[derive(Debug)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its home.
    pub home: PathBuf,
}

impl Person {
    /// Makes one with useradd(8).
    ///
    /// # Errors
    /// When the account cannot be made.
    pub fn new() -> Result<Self> {
        // Skeleton files would differ between machines.
        let skeleton = tempfile::tempdir()?;
        let _alone = account_lock()?;
        remove_abandoned()?;
        let name = free_name()?;
        let mut command = Command::new("useradd");
        command.args([
            "--create-home",
            "--user-group",
            "--shell",
            "/bin/bash",
            "--comment",
            COMMENT,
            "--skel",
        ]);
        run(command.arg(skeleton.path()).arg(&name), b"", LIMIT)?.success()?;
        let accounts = fs::read_to_string("/etc/passwd")?;
        let line = accounts.lines().find(|line| line.starts_with(&format!("{name}:")));
        let fields: Vec<&str> = line.context("useradd made no account")?.split(':').collect();
        let [_, _, uid, gid, _, home, ..] = fields.as_slice() else {
            anyhow::bail!("odd account: {fields:?}")
        };
        Ok(Self { name, uid: uid.parse()?, gid: gid.parse()?, home: PathBuf::from(home) })
    }

    /// A command that runs as this person in its home, with an environment of its own.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.uid(self.uid).gid(self.gid).current_dir(&self.home).env_clear();
        command.env("HOME", &self.home).env("USER", &self.name).env("LOGNAME", &self.name);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SHELL", "/bin/bash").env("LANG", "C.UTF-8");
        command
    }

    /// Runs a shell script as this person.
    ///
    /// # Errors
    /// When it fails.
    pub fn shell(&self, directory: &Path, script: &str) -> Result<Finished> {
        run(self.command("/bin/sh").current_dir(directory).args(["-ec", script]), b"", LIMIT)?.success()
    }

    /// Writes a file that belongs to this person, with the directories above it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        fs::write(path, content).with_context(|| path.display().to_string())?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))?)
    }

    /// Makes a directory that belongs to this person, with those above it that are missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_directory(&self, path: &Path) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        fs::create_dir(path).with_context(|| path.display().to_string())?;
        Ok(std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))?)
    }

    /// Ids of processes that run as this person.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        crate::leftovers::processes_of(self.uid, self.uid)
    }

    /// Removes the account with its home and says what did not work.
    pub(crate) fn remove(&self) -> Option<String> {
        let _alone = account_lock().ok()?;
        let removed = run(Command::new("userdel").arg("--remove").arg(&self.name), b"", LIMIT);
        // 12: the mail spool, which was never made; 0: all of it.
        match removed {
            Ok(finished) if finished.status == 0 && !self.home.exists() => None,
            Ok(finished) => Some(format!("the account {} could not be removed: {finished:?}", self.name)),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// A name that nobody has. One that a killed run left can be this process's own: ids of processes come again.
fn free_name() -> Result<String> {
    let taken = fs::read_to_string("/etc/passwd")? + &fs::read_to_string("/etc/group")?;
    loop {
        let name = format!("abs{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        if !taken.lines().any(|line| line.split(':').next() == Some(&name)) {
            return Ok(name);
        }
    }
}

/// Removes accounts of runs that were killed: made by these tests, by a process that is no more. What cannot be removed
/// yet, such as an account under which something still runs, is left for the next time.
fn remove_abandoned() -> Result<()> {
    for name in fs::read_to_string("/etc/passwd")?.lines().filter_map(abandoned) {
        let _ = run(Command::new("userdel").args(["--remove", name]), b"", LIMIT)?;
    }
    Ok(())
}

/// The name in a line of passwd(5), when it is that of an account of a run that is no more.
fn abandoned(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, _, _, COMMENT, home, _] = fields.as_slice() else { return None };
    let (process, _) = name.strip_prefix("abs")?.split_once('x')?;
    let process: u32 = process.parse().ok()?;
    let is_ours = *home == format!("/home/{name}") && !Path::new(&format!("/proc/{process}")).exists();
    is_ours.then_some(name)
}

/// Keeps other tests from making and removing accounts while it lives: useradd(8) renames `/etc/shadow`, and
/// whatever is mounted over a file comes off when that file is renamed over. Drop it before the machine.
///
/// # Errors
/// When the lock cannot be taken.
pub fn accounts_unchanged() -> Result<File> {
    account_lock()
}

/// useradd gives up when another holds its lock, so these tests wait for each other.
fn account_lock() -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open("/run/lock/agentbox-suite")?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has it: the kernel's largest is 4 194 304 (proc(5), pid_max).
    const NOBODY: u32 = 4_194_305;

    #[test]
    fn only_accounts_of_these_tests_whose_process_is_no_more_are_abandoned() {
        let line = |name: &str, comment: &str, home: &str| format!("{name}:x:1:1:{comment}:{home}:/bin/bash");
        let dead = format!("abs{NOBODY}x0");
        assert_eq!(abandoned(&line(&dead, COMMENT, &format!("/home/{dead}"))), Some(dead.as_str()));
        let alive = format!("abs{}x0", std::process::id());
        assert_eq!(abandoned(&line(&alive, COMMENT, &format!("/home/{alive}"))), None);
        assert_eq!(abandoned(&line(&dead, "", &format!("/home/{dead}"))), None);
        assert_eq!(abandoned(&line(&dead, COMMENT, "/home")), None);
        assert_eq!(abandoned(&line("absent", COMMENT, "/home/absent")), None);
    }

    #[test]
    fn a_name_that_a_killed_run_left_is_no_obstacle_and_what_it_left_is_removed() {
        let next = format!("abs{}x{}", std::process::id(), NEXT.load(Ordering::Relaxed));
        // Another run may be at this test, too.
        let dead = format!("abs{}x1", NOBODY + std::process::id());
        let add = |name: &str, comment: &str| {
            let mut command = Command::new("useradd");
            command.args(["--no-create-home", "--comment", comment, name]);
            run(&mut command, b"", LIMIT).unwrap().success().unwrap();
        };
        let alone = account_lock().unwrap();
        add(&next, "");
        add(&dead, COMMENT);
        drop(alone);
        let person = Person::new().unwrap();
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let alone = account_lock().unwrap();
        run(Command::new("userdel").arg(&next), b"", LIMIT).unwrap().success().unwrap();
        drop(alone);
        assert_eq!(person.remove(), None);
        assert!(person.name != next && !accounts.contains(&dead), "{}", person.name);
    }
}
