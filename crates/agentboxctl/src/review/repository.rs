//! Asking git about the project's repository without anything of a repository's configuration.
//!
//! git runs with an empty repository made for this moment in the project's `.git`: no remotes, no hooks, no
//! filters, no programs to run. What it reads and writes besides is named to it: the project's objects, and
//! at the end the references below `refs/agentbox/ID`. No system or personal configuration is read.

use super::Review;
use super::change::RelPath;
use super::remember;
use super::tree;
use crate::child;
use crate::errors::Failure;
use agentbox_plan::SessionId;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Packing and checking a large repository takes minutes.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Most bytes of an answer that is no file.
const MOST_BYTES: usize = 16 << 20;
/// The same of a list of all files.
const MOST_NAMES: usize = 256 << 20;
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin";

/// An empty repository beside the project's. It is gone when it is dropped.
pub(crate) struct Repository {
    /// `.git` of the project.
    project: OwnedFd,
    /// Name in it.
    name: CString,
    /// The repository itself.
    scratch: OwnedFd,
}

impl Repository {
    /// Makes one. `commit` is one of the project's, which says what its objects are called by.
    pub(crate) fn make(review: &Review, commit: &str) -> Result<Self, Failure> {
        Self::beside(&review.trees.project, &review.id, commit)
    }

    fn beside(project: &OwnedFd, id: &SessionId, commit: &str) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::system("cannot prepare to ask git", error);
        let project = tree::reach(project, b".git").map_err(|_| {
            Failure::new("the project is no git repository of its own\ncommits can only be taken into one with a directory `.git`")
        })?;
        // An id holds no NUL byte. In the directory of reviews git could not find it: no path leads there.
        let name = CString::new(format!("agentbox-{id}")).unwrap_or_default();
        remove(&project, &name).map_err(failed)?;
        let mut version = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n".to_owned();
        if commit.len() == 64 {
            version = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
                .to_owned();
        }
        let make = || -> io::Result<OwnedFd> {
            rustix::fs::mkdirat(&project, &name, Mode::from_raw_mode(0o700))?;
            let scratch = tree::enter(&project, &name)?;
            for name in ["refs", "objects", "objects/info"] {
                rustix::fs::mkdirat(&scratch, name, Mode::from_raw_mode(0o700))?;
            }
            remember::write(&scratch, "config", version.as_bytes())?;
            remember::write(&scratch, "HEAD", b"ref: refs/heads/none\n")?;
            Ok(scratch)
        };
        let scratch = make().map_err(failed)?;
        let repository = Self { project, name, scratch };
        for descriptor in [&repository.scratch, &repository.project] {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        }
        Ok(repository)
    }

    /// git with nothing but what is named to it.
    fn git(&self) -> Command {
        let path = |descriptor: &OwnedFd, below: &str| {
            OsString::from(format!("/proc/self/fd/{}{below}", descriptor.as_raw_fd()))
        };
        let mut git = Command::new("git");
        git.args(["--no-pager", "--no-replace-objects"])
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"])
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.recurseSubmodules=false"])
            .args(["-c", "fetch.fsckObjects=true", "-c", "transfer.fsckObjects=true"])
            .args(["-c", "protocol.allow=never", "-c", "protocol.file.allow=always"])
            .current_dir("/")
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_DIR", path(&self.scratch, ""))
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", path(&self.project, "/objects"))
            .envs([
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_NO_LAZY_FETCH", "1"),
                ("GIT_TERMINAL_PROMPT", "0"),
                ("GIT_OPTIONAL_LOCKS", "0"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        git
    }

    fn ask(&self, mut git: Command, most: usize) -> io::Result<(bool, Vec<u8>)> {
        child::output(git.spawn()?, most, PATIENCE)
    }

    /// A file of a commit.
    pub(crate) fn blob(&self, commit: &str, path: &RelPath, most: u64) -> Option<Vec<u8>> {
        let mut name = OsString::from(format!("{commit}:"));
        name.push(OsStr::from_bytes(path.as_bytes()));
        let mut git = self.git();
        git.args(["cat-file", "blob"]).arg(name);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.ask(git, most).ok().filter(|(succeeded, _)| *succeeded).map(|(_, bytes)| bytes)
    }

    /// Takes the commits of a bundle that a session made into the project, as `refs/agentbox/ID/…`; the names
    /// of these references. They are judged in the empty repository before anything is written to the project.
    pub(crate) fn take(&self, bundle: &OwnedFd, id: &str, base: &str) -> Result<Vec<String>, Failure> {
        let copy = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.scratch, "bundle", flags, Mode::from_raw_mode(0o600))?;
            io::copy(&mut File::from(bundle.try_clone()?), &mut File::from(file)).map(drop)
        };
        copy().map_err(|error| Failure::system("cannot hand on the bundle", error))?;
        let bundle = format!("/proc/self/fd/{}/bundle", self.scratch.as_raw_fd());
        // What the bundle builds upon has to be reachable for git.
        let known = &["update-ref", "refs/base", base];
        self.must(known, false, "the commit that the session began with is not in the project any more")?;
        let (all, head) = (format!("+refs/*:refs/agentbox/{id}/*"), format!("+HEAD:refs/agentbox/{id}/HEAD"));
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        let refused =
            "git refuses the commits of the session: they are damaged, or not what they pretend to be";
        let listed = self.must(&["bundle", "list-heads", &bundle], false, refused)?;
        let has_head = String::from_utf8_lossy(&listed).lines().any(|line| line.ends_with(" HEAD"));
        let mut arguments: Vec<&str> = fetch.into_iter().chain([bundle.as_str(), all.as_str()]).collect();
        if has_head {
            arguments.push(&head);
        }
        self.must(&arguments, false, refused)?;
        self.check(refused)?;
        let format = "--format=%(objectname) %(refname)";
        let references =
            self.must(&["for-each-ref", format, &format!("refs/agentbox/{id}/")], false, refused)?;
        let references = String::from_utf8_lossy(&references).into_owned();
        // Now the same once more, into the project.
        self.must(&["bundle", "unbundle", &bundle], true, "the commits could not be written to the project")?;
        let mut names = Vec::new();
        for line in references.lines() {
            let Some((object, name)) = line.split_once(' ') else { continue };
            let mut one = self.git();
            one.env("GIT_DIR", format!("/proc/self/fd/{}", self.project.as_raw_fd()));
            one.args(["update-ref", "--no-deref", name, object]);
            match self.ask(one, MOST_BYTES) {
                Ok((true, _)) => names.push(name.to_owned()),
                Ok((false, _)) => return Err(Failure::new(format!("git does not set {name}"))),
                Err(error) => return Err(Failure::system("cannot ask git", error)),
            }
        }
        Ok(names)
    }

    /// Checks every object that has arrived. `fetch` does so for bundles since git 2.46 only, and `fsck` looks
    /// either into no pack or into all of the project's as well.
    fn check(&self, otherwise: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::system("cannot look at what has arrived", error);
        self.must(&["fsck", "--no-full", "--strict", "--no-dangling", "--no-progress"], false, otherwise)?;
        let packs = match tree::reach(&self.scratch, b"objects/pack") {
            Ok(packs) => packs,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let scratch = format!("/proc/self/fd/{}", self.scratch.as_raw_fd());
        for name in tree::names(&packs, usize::MAX).map_err(failed)? {
            let Some(name) = name.to_str().ok().filter(|name| name.ends_with(".pack")) else { continue };
            let (pack, index) =
                (format!("{scratch}/objects/pack/{name}"), format!("{scratch}/checked-{name}.idx"));
            self.must(&["index-pack", "--strict", "-o", &index, &pack], false, otherwise)?;
        }
        Ok(())
    }

    /// The paths of all files of a commit, sorted.
    pub(crate) fn files(&self, commit: &str) -> Option<Vec<Vec<u8>>> {
        let mut git = self.git();
        git.args(["ls-tree", "-r", "-z", "--full-tree", "--name-only", commit]);
        let (succeeded, bytes) = self.ask(git, MOST_NAMES).ok()?;
        let mut files: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        files.sort_unstable();
        succeeded.then_some(files)
    }

    fn must(&self, arguments: &[&str], into_project: bool, otherwise: &str) -> Result<Vec<u8>, Failure> {
        let mut git = self.git();
        git.args(arguments);
        if into_project {
            git.env("GIT_OBJECT_DIRECTORY", format!("/proc/self/fd/{}/objects", self.project.as_raw_fd()));
            // The references of the empty repository lead to what it has fetched.
            let fetched = format!("/proc/self/fd/{}/objects", self.scratch.as_raw_fd());
            git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", fetched);
        }
        match self.ask(git, MOST_BYTES) {
            Ok((true, bytes)) => Ok(bytes),
            Ok((false, _)) => Err(Failure::new(otherwise)),
            Err(error) => Err(Failure::system("cannot ask git", error)),
        }
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _next_time = remove(&self.project, &self.name);
    }
}

/// Removes an empty repository that git wrote to.
fn remove(project: &OwnedFd, name: &CStr) -> io::Result<()> {
    match tree::enter(project, name) {
        Ok(directory) => empty(&directory)?,
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    Ok(rustix::fs::unlinkat(project, name, AtFlags::REMOVEDIR)?)
}

fn empty(directory: &OwnedFd) -> io::Result<()> {
    for name in tree::names(directory, usize::MAX)? {
        match tree::look(directory, &name)? {
            Some(found) if found.kind == tree::Kind::Directory => {
                empty(&tree::enter(directory, &name)?)?;
                rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
            }
            _ => rustix::fs::unlinkat(directory, &name, AtFlags::empty())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::path::Path;

    fn git(at: &Path, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-C"])
            .arg(at)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A project with a commit, and a bundle of another commit with this tree.
    fn bundle(place: &Path, tree: &str) -> (OwnedFd, String, OwnedFd) {
        let project = place.join("project");
        git(place, &["init", "-q", "project"], "");
        std::fs::write(project.join("kept"), "x\n").unwrap();
        git(&project, &["add", "."], "");
        git(&project, &["commit", "-qm", "base"], "");
        let base = git(&project, &["rev-parse", "HEAD"], "");
        git(place, &["clone", "-q", "project", "session"], "");
        let session = place.join("session");
        let blob = git(
            &session,
            &["hash-object", "-w", "--stdin"],
            "[submodule \"x\"]\npath = x\nurl = -u./payload\n",
        );
        let tree = git(&session, &["mktree"], &tree.replace("BLOB", &blob));
        let commit = git(&session, &["commit-tree", "-p", &base, "-m", "new", &tree], "");
        git(&session, &["update-ref", "refs/heads/new", &commit], "");
        git(&session, &["bundle", "create", "-q", "../bundle", "new", "^HEAD"], "");
        let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
        (open(&project), base, open(&place.join("bundle")))
    }

    #[test]
    fn every_object_of_a_bundle_is_checked_whatever_fetch_checks() {
        let id: SessionId = "abc".parse().unwrap();
        for (tree, is_good) in [
            ("100644 blob BLOB\tfile\n", true),
            ("100644 blob BLOB\t.git\n", false),
            ("100644 blob BLOB\t.gitmodules\n", false),
        ] {
            let place = tempfile::tempdir().unwrap();
            let (project, base, bundle) = bundle(place.path(), tree);
            let path = place.path().join("bundle");
            {
                let repository = Repository::beside(&project, &id, &base).unwrap();
                // As git below 2.46 fetches it: without a look.
                repository.must(&["bundle", "unbundle", path.to_str().unwrap()], false, "unbundle").unwrap();
                assert_eq!(repository.check("refused").is_ok(), is_good, "{tree}");
                assert_eq!(repository.files(&base).unwrap(), [b"".to_vec(), b"kept".to_vec()]);
            }
            let repository = Repository::beside(&project, &id, &base).unwrap();
            assert_eq!(repository.take(&bundle, "abc", &base).is_ok(), is_good, "{tree}");
        }
    }
}
