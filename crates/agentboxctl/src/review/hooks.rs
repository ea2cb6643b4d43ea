//! Where git on the host finds hooks besides `.git/hooks`: in the project, when a configuration of it says so.
//!
//! What any file of a repository's configuration says counts, whether git would read it at that moment or not. The
//! person's own configuration and the system's are not read.

use super::change::RelPath;
use super::tree::{self, Entry, Kind};
use agentbox_plan::git_config;
use agentbox_plan::trigger::is_hook;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

/// Most files of one repository's configuration.
const MAX_FILES: usize = 64;
/// Most bytes of a file that holds one path.
const MAX_POINTER: u64 = 8192;

/// What is known of hooks in a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hooks {
    /// The project's own path.
    project: Vec<u8>,
    /// Of the person, for `~`.
    home: Option<Vec<u8>>,
    /// Directories below the project's root, which is the empty path.
    directories: BTreeSet<Vec<u8>>,
    /// Not everything could be followed: they may be anywhere.
    anywhere: bool,
}

impl Hooks {
    pub(crate) fn new(project: &[u8], home: Option<&OsStr>) -> Self {
        let home = home.map(|home| home.as_bytes().to_vec());
        Self { project: project.to_vec(), home, ..Self::default() }
    }

    /// Adds what the repository says whose work tree a directory of the project is, if it is one. `below` is the
    /// directory's path below the root.
    pub(crate) fn read(&mut self, work_tree: &OwnedFd, below: &[u8]) {
        let values = match values(work_tree, self.home.as_deref()) {
            Ok(values) => values,
            Err(_) => return self.anywhere = true,
        };
        let root = [&self.project[..], b"/", below].concat();
        for value in values {
            match absolute(&value, &root, self.home.as_deref()) {
                Some(path) => self.directories.extend(self.below_root(&path)),
                None => self.anywhere = true,
            }
        }
    }

    fn below_root(&self, path: &[u8]) -> Option<Vec<u8>> {
        let root: Vec<&[u8]> = names(&self.project).collect();
        let mut found: Vec<&[u8]> = Vec::new();
        for name in names(path) {
            match name {
                b".." => drop(found.pop()),
                name => found.push(name),
            }
        }
        found.strip_prefix(root.as_slice()).map(|names| names.join(&b'/'))
    }

    /// Whether git runs it as a hook, or would find its hooks by it.
    pub(crate) fn is_one(&self, path: &RelPath, entries: [Option<Entry>; 2]) -> bool {
        let entries = entries.into_iter().flatten();
        let others: Vec<Entry> = entries.filter(|entry| entry.kind != Kind::Directory).collect();
        if others.is_empty() {
            return false;
        }
        let (directory, name) = path.split();
        let is_named = is_hook(name.to_bytes());
        let runs = |entry: &Entry| entry.kind != Kind::File || entry.mode & 0o111 != 0;
        let leads_in = |hooks: &Vec<u8>| RelPath::new(hooks).is_some_and(|hooks| hooks.is_within(path));
        is_named && (self.directories.contains(directory) || self.anywhere && others.iter().any(runs))
            || self.directories.iter().any(leads_in)
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// A path of a configuration, counted from a directory (git-config(1), "pathname"); `None` where only git knows it.
fn absolute(value: &[u8], from: &[u8], home: Option<&[u8]>) -> Option<Vec<u8>> {
    match value {
        [b'/', ..] => Some(value.to_vec()),
        [b'~', b'/', ..] | [b'~'] => Some([home?, &value[1..]].concat()),
        [b'~', ..] => None,
        value if value.starts_with(b"%(prefix)") || value.starts_with(b":(optional)") => None,
        value => Some([from, b"/", value].concat()),
    }
}

/// What `core.hooksPath` is in the files of a repository's configuration, the last of each file.
fn values(work_tree: &OwnedFd, home: Option<&[u8]>) -> io::Result<Vec<Vec<u8>>> {
    let git = match tree::look(work_tree, c".git")?.map(|entry| entry.kind) {
        None | Some(Kind::Special) => return Ok(Vec::new()),
        Some(Kind::Directory | Kind::Link) => b".git".to_vec(),
        Some(Kind::File) => {
            let says = pointer(work_tree, b".git")?.ok_or(io::ErrorKind::NotFound)?;
            says.strip_prefix(b"gitdir:").ok_or(io::ErrorKind::InvalidData)?.trim_ascii_start().to_vec()
        }
    };
    let common = match pointer(work_tree, &[&git[..], b"/commondir"].concat())? {
        Some(path) if path.starts_with(b"/") => path,
        Some(path) => [&git[..], b"/", &path].concat(),
        None => git.clone(),
    };
    let mut files = vec![[&common[..], b"/config"].concat(), [&git[..], b"/config.worktree"].concat()];
    let (mut seen, mut values) = (0, Vec::new());
    while let Some(file) = files.pop() {
        seen += 1;
        if seen > MAX_FILES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(bytes) = open(work_tree, &file, git_config::MAX_BYTES as u64)? else { continue };
        let directory = &file[..file.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
        let mut of_hooks = None;
        for entry in git_config::read_all(&bytes) {
            match (&*entry.section, &*entry.key, entry.value) {
                ("core", "hookspath", Some(value)) if entry.subsection.is_none() => of_hooks = Some(value),
                ("include" | "includeif", "path", Some(value)) => {
                    files.push(absolute(&value, directory, home).ok_or(io::ErrorKind::NotFound)?);
                }
                _ => {}
            }
        }
        values.extend(of_hooks);
    }
    Ok(values)
}

/// A file with one path in it; `None` when there is none.
fn pointer(work_tree: &OwnedFd, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let bytes = open(work_tree, path, MAX_POINTER)?;
    Ok(bytes.map(|bytes| bytes.trim_ascii_end().to_vec()))
}

/// A whole regular file, wherever it is: as git does, links are followed.
fn open(work_tree: &OwnedFd, path: &[u8], most: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(work_tree, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if tree::examine(&file)?.kind != Kind::File {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::from(file).take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What is known of a project at `/home/p`.
    fn found(root: &Path, below: &str) -> (Vec<String>, bool) {
        let mut hooks = Hooks::new(b"/home/p", Some(OsStr::new("/home")));
        hooks.read(&File::open(root.join(below)).unwrap().into(), below.as_bytes());
        let text = |path: Vec<u8>| String::from_utf8(path).unwrap();
        (hooks.directories.into_iter().map(text).collect(), hooks.anywhere)
    }

    fn known(paths: &[&str]) -> (Vec<String>, bool) {
        (paths.iter().map(|path| (*path).to_owned()).collect(), false)
    }

    #[test]
    fn a_path_of_the_configuration_counts_from_the_projects_root() {
        let dir = tempfile::TempDir::new().unwrap();
        for (value, expected) in [
            ("tools/./hooks/", known(&["tools/hooks"])),
            ("../p/x", known(&["x"])),
            ("/home/p/y", known(&["y"])),
            ("~/p/z", known(&["z"])),
            (".", known(&[""])),
            ("/home/pp/y", known(&[])),
            ("..", known(&[])),
            ("~", known(&[])),
            ("/etc", known(&[])),
            ("~somebody/x", (Vec::new(), true)),
            ("%(prefix)/x", (Vec::new(), true)),
        ] {
            let text = format!(
                "[core]\nhooksPath = old\n[CORE]\nHooksPath = {value}\n[core \"x\"]\nhooksPath = z\n"
            );
            write(dir.path(), ".git/config", &text);
            assert_eq!(found(dir.path(), ""), expected, "{value}");
        }
        write(dir.path(), ".git/config", "[core]\nbare = false\n");
        assert_eq!(found(dir.path(), ""), known(&[]));
    }

    #[test]
    fn what_a_repository_has_elsewhere_is_followed_or_hooks_may_be_anywhere() {
        let dir = tempfile::TempDir::new().unwrap();
        let (root, tree) = (dir.path(), "tree");
        let git = root.join("main/.git/worktrees/t");
        write(root, "tree/.git", &format!("gitdir: {}\n", git.display()));
        write(&git, "commondir", "../..\n");
        write(root, "main/.git/config", "[core]\nhooksPath = tools/hooks\n");
        let here = |path: &str| format!("tree/{path}");
        assert_eq!(found(root, tree), known(&[&here("tools/hooks")]));
        // One of this work tree alone, and what is included there, if only sometimes.
        write(&git, "config.worktree", "[core]\nhooksPath = own\n[includeIf \"onbranch:x\"]\npath = more\n");
        write(&git, "more", "[include]\npath = none\n[core]\nhooksPath = ../included\n");
        assert_eq!(found(root, tree), known(&["included", &here("own"), &here("tools/hooks")]));
        write(root, "tree/.git", "gitdir: ../main/.git/worktrees/t");
        assert_eq!(found(root, tree).0.len(), 3);
        for unknown in ["[include]\npath = ~other/x\n", "[include]\npath = more\n", "[include]\npath = .\n"] {
            write(&git, "more", unknown);
            assert!(found(root, tree).1, "{unknown}");
        }
        std::fs::remove_file(git.join("more")).unwrap();
        assert!(!found(root, tree).1);
        write(root, "main/.git/config", &" ".repeat(git_config::MAX_BYTES + 1));
        assert!(found(root, tree).1);
        write(root, "tree/.git", "nothing of the kind");
        assert!(found(root, tree).1);
    }

    #[test]
    fn where_they_may_be_anywhere_what_runs_and_has_the_name_of_one_is_one() {
        let dir = tempfile::TempDir::new().unwrap();
        let of = |mode: u32, kind| {
            let entry = tree::examine(File::open(dir.path()).unwrap()).unwrap();
            [None, Some(Entry { mode, kind, ..entry })]
        };
        let hooks = Hooks { anywhere: true, ..Hooks::default() };
        let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        assert!(hooks.is_one(&path("a/b/pre-commit"), of(0o755, Kind::File)));
        assert!(hooks.is_one(&path("update"), of(0o777, Kind::Link)));
        assert!(!hooks.is_one(&path("a/b/pre-commit"), of(0o644, Kind::File)));
        assert!(!hooks.is_one(&path("a/b/build"), of(0o755, Kind::File)));
        assert!(!hooks.is_one(&path("update"), of(0o755, Kind::Directory)));
        assert!(!Hooks::default().is_one(&path("update"), of(0o755, Kind::File)));
    }
}
