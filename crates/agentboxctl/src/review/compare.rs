//! Finds what differs between a project and the way a session left it.
//!
//! Both are ordinary trees here: the session's is shown by the file system that took its changes, so no mark
//! of it is interpreted. What the session wrote (`upper`) is looked at for names only, to leave out what
//! it did not touch: a thing that has no name there and is the very inode that the project has at its path
//! is not looked into. What cannot be told that way is compared byte by byte.

use super::change::{Change, Class, Judge, RelPath, is_git_directory};
use super::hooks::Hooks;
use super::remember::Remembered;
use super::tree::{self, Entry, Kind};
use crate::errors::Failure;
use crate::output::escape;
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// Most differences, and most names in a directory: each takes some hundred bytes of memory.
const MAX_CHANGES: usize = 1_000_000;
/// Deepest nesting. Each level holds three descriptors, of which a process has 1024.
const MAX_DEPTH: usize = 256;
/// With `xino` the upper bits of an inode's number say which layer it lies on (overlayfs documentation).
const OWN_BITS: u64 = (1 << 48) - 1;

/// The three directories of a review.
#[derive(Debug)]
pub(crate) struct Trees {
    /// The project.
    pub(crate) project: OwnedFd,
    /// The project as the session left it.
    pub(crate) merged: OwnedFd,
    /// What the session wrote.
    pub(crate) upper: OwnedFd,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// In the order of paths, directories before what is in them.
    pub(crate) changes: Vec<Change>,
    /// What could not be looked at, in sentences that are not escaped yet.
    pub(crate) notes: Vec<String>,
    /// How many things were looked at, for tests.
    pub(crate) looked_at: usize,
}

struct Walk<'a> {
    judge: &'a Judge,
    remembered: &'a Remembered,
    hooks: Hooks,
    found: Comparison,
}

/// A directory in each of the trees that have it.
struct Level {
    path: Vec<u8>,
    project: Option<OwnedFd>,
    merged: Option<OwnedFd>,
    upper: Option<OwnedFd>,
    /// How many names lead to the innermost git directory that it is or lies in, whatever that is called.
    git_directory: Option<usize>,
}

/// Compares the whole project.
pub(crate) fn compare(trees: &Trees, judge: &Judge, remembered: &Remembered) -> Result<Comparison, Failure> {
    raise_descriptor_limit();
    let again = |root: &OwnedFd| tree::reach(root, b"").map(Some);
    let open = || -> io::Result<Level> {
        Ok(Level {
            path: Vec::new(),
            project: again(&trees.project)?,
            merged: again(&trees.merged)?,
            upper: again(&trees.upper)?,
            git_directory: None,
        })
    };
    let mut root = open().map_err(|error| Failure::system("cannot open the project", error))?;
    let mut walk = Walk { judge, remembered, hooks: judge.hooks.clone(), found: Comparison::default() };
    walk.level(&mut root, 0)?;
    let Walk { hooks, mut found, .. } = walk;
    // A repository in the project can have its hooks where the walk was before.
    if let Some(Class::Trigger { hold, actor }) = judge.of_hook() {
        for change in &mut found.changes {
            if change.class.rank() > 0 && hooks.is_one(&change.path, [change.before, change.after]) {
                change.class = Class::Trigger { hold, actor: actor.clone() };
            }
        }
    }
    Ok(found)
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, what lies too deep is noted.
    let _as_it_was = setrlimit(Resource::Nofile, limit);
}

impl Walk<'_> {
    fn level(&mut self, here: &mut Level, depth: usize) -> Result<(), Failure> {
        let list = |directory: &Option<OwnedFd>| match directory {
            Some(directory) => tree::names(directory, MAX_CHANGES),
            None => Ok(Vec::new()),
        };
        let (project, merged) = match (list(&here.project), list(&here.merged)) {
            (Ok(project), Ok(merged)) => (project, merged),
            (Err(error), _) | (_, Err(error)) => {
                self.note(&here.path, &error);
                return Ok(());
            }
        };
        if let Some(directory) =
            here.project.as_ref().filter(|_| project.iter().any(|name| **name == *c".git"))
        {
            self.hooks.read(directory, &here.path);
        }
        let mut names: Vec<&CStr> = project.iter().chain(&merged).map(|name| name.as_c_str()).collect();
        names.sort_unstable();
        names.dedup();
        if is_git_directory(names.iter().map(|name| name.to_bytes())) {
            here.git_directory = Some(depth);
        }
        for name in names {
            if let Err(error) = self.name(here, name, depth)? {
                self.note(RelPath::join(&here.path, name.to_bytes()).as_bytes(), &error);
            }
        }
        Ok(())
    }

    /// The outer error ends the walk, the inner one is about this name.
    fn name(&mut self, here: &Level, name: &CStr, depth: usize) -> Result<io::Result<()>, Failure> {
        let path = RelPath::join(&here.path, name.to_bytes());
        let look = |directory: &Option<OwnedFd>| match directory {
            Some(directory) => tree::look(directory, name),
            None => Ok(None),
        };
        self.found.looked_at += 1;
        let (before, after, wrote) = match (look(&here.project), look(&here.merged), look(&here.upper)) {
            (Ok(before), Ok(after), Ok(wrote)) => (before, after, wrote),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Ok(Err(error)),
        };
        if let (Some(before), Some(after), None) = (&before, &after, &wrote)
            && before.kind == after.kind
            && before.inode & OWN_BITS == after.inode & OWN_BITS
        {
            return Ok(Ok(()));
        }
        let content = match (&before, &after) {
            (None, None) => return Ok(Ok(())),
            (Some(before), Some(after)) if before.kind == after.kind => {
                let same = same_content(here, name, (before, after));
                let same = match same {
                    Ok(same) => same,
                    Err(error) => return Ok(Err(error)),
                };
                if same && (before.mode == after.mode || before.kind == Kind::Link) {
                    return self.below(here, name, path, (Some(*before), Some(*after)), wrote, depth);
                }
                !same
            }
            _ => true,
        };
        if let Some(after) = &after
            && self.remembered.is_declined(&path, after)
        {
            return Ok(Ok(()));
        }
        if self.found.changes.len() >= MAX_CHANGES {
            return Err(Failure::new(format!(
                "more than {MAX_CHANGES} differences\ndiscard the session, or take what you want out of it with --workspace overlay and --resume"
            )));
        }
        let conflict = before.is_some_and(|before| self.remembered.has_moved_on(&path, &before));
        self.found.changes.push(Change {
            class: self.judge.strictest(&path, [before, after], here.git_directory),
            path: path.clone(),
            before,
            after,
            content,
            renamed_from: None,
            conflict,
        });
        self.below(here, name, path, (before, after), wrote, depth)
    }

    fn below(
        &mut self,
        here: &Level,
        name: &CStr,
        path: RelPath,
        (before, after): (Option<Entry>, Option<Entry>),
        wrote: Option<Entry>,
        depth: usize,
    ) -> Result<io::Result<()>, Failure> {
        let is_directory = |entry: &Option<Entry>| entry.is_some_and(|entry| entry.kind == Kind::Directory);
        if !is_directory(&before) && !is_directory(&after) {
            return Ok(Ok(()));
        }
        if depth + 1 >= MAX_DEPTH {
            return Ok(Err(io::Error::other(format!("deeper than {MAX_DEPTH} directories; not looked at"))));
        }
        let enter = |directory: &Option<OwnedFd>, is_there: bool| match directory {
            Some(directory) if is_there => tree::enter(directory, name).map(Some),
            _ => Ok(None),
        };
        let opened = || -> io::Result<Level> {
            Ok(Level {
                path: path.as_bytes().to_vec(),
                project: enter(&here.project, is_directory(&before))?,
                merged: enter(&here.merged, is_directory(&after))?,
                upper: enter(&here.upper, is_directory(&wrote))?,
                git_directory: here.git_directory,
            })
        };
        match opened() {
            Ok(mut level) => self.level(&mut level, depth + 1).map(Ok),
            // A mount of the host lies there: nothing of it is part of the session's view.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) && wrote.is_none() => Ok(Ok(())),
            Err(error) => Ok(Err(error)),
        }
    }

    fn note(&mut self, path: &[u8], error: &io::Error) {
        const MOST: usize = 1000;
        if self.found.notes.len() < MOST {
            let path = escape::name(&String::from_utf8_lossy(path));
            self.found.notes.push(format!("{path}: {}", crate::errors::reason(error)));
        }
    }
}

/// Whether what is in both is the same; two directories are compared elsewhere.
fn same_content(here: &Level, name: &CStr, (before, after): (&Entry, &Entry)) -> io::Result<bool> {
    let (Some(project), Some(merged)) = (&here.project, &here.merged) else { return Ok(false) };
    match before.kind {
        Kind::Directory => Ok(true),
        Kind::Special => Ok(false),
        Kind::Link => Ok(tree::link(project, name)? == tree::link(merged, name)?),
        Kind::File if before.size != after.size => Ok(false),
        Kind::File => {
            let (one, other) = (tree::read(project, name)?, tree::read(merged, name)?);
            same_bytes(File::from(one), File::from(other))
        }
    }
}

/// Whether two files hold the same bytes.
pub(crate) fn same_bytes(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    const PIECE: usize = 64 * 1024;
    let (mut left, mut right) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PIECE as u64).read_to_end(&mut left)?;
        other.by_ref().take(PIECE as u64).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
