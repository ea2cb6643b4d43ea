//! The file system of a session: nothing exists but what the plan lists.
//!
//! Two halves. [`detach`] runs in the host's mount namespace, where the sources live: it clones each
//! source into a detached mount and gives it its attributes, so that nothing is ever attached, not even
//! for an instant, with more rights than planned. [`Tree`] runs in the session's own mount namespace and
//! puts the detached mounts together below a root of its own.
//!
//! Every target is looked up from the new root's descriptor with `openat2`, so no link, not even one in
//! the project, leads a step outside. Directories are only ever made on file systems that the launcher
//! itself made: a mount point never appears on the host.

use crate::idmap;
use crate::overlay::{self, Layers};
use crate::step::{InStep, StepError, in_force};
use crate::sys;
use agentbox_plan::look::Hiding;
use agentbox_plan::{Access, Ids, InnerPath, Mount, Owner, Sandbox, SourceIndex};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

/// How often a path that is to be hidden is looked up: it may be renamed over meanwhile.
const MASK_LOOKS: u32 = 16;
/// Most pseudo-terminals of a session at once, of the 4096 that a machine usually has.
const TERMINALS: &str = "256";

/// What was detached for a mount of the plan.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// It has no source.
    Nothing,
    /// The mount itself.
    Mount(OwnedFd),
    /// What an overlay is made of, which happens in the session's own mount namespace.
    Layers(Layers),
}

/// What was prepared for each mount of the plan, in the plan's order.
pub(crate) type Detached = Vec<Prepared>;

/// Clones the sources of `sandbox` into detached mounts with their attributes and id maps.
///
/// # Errors
/// The mount that failed; a file system that cannot be id-mapped says so.
pub(crate) fn detach(sandbox: &Sandbox, sources: &[OwnedFd]) -> Result<Detached, StepError> {
    // A process is started for each, so only for those that something is seen through.
    let used: BTreeSet<u8> = sandbox.mounts.iter().filter_map(Mount::idmap).collect();
    let maps = used.iter().filter_map(|index| Some((*index, sandbox.idmaps.get(usize::from(*index))?)));
    let namespaces: Result<BTreeMap<_, _>, _> =
        maps.map(|(index, map)| Ok((index, idmap::namespace(map)?))).collect();
    let namespaces = namespaces?;
    let map_of = |target: &InnerPath, idmap: Option<u8>| match idmap.filter(|_| in_force("idmap")) {
        None => Ok(None),
        Some(index) => namespaces.get(&index).map(Some).ok_or_else(|| {
            StepError::new(format!("bind {target}"), format!("the plan has no id map {index}"))
        }),
    };
    let mut detached = Vec::with_capacity(sandbox.mounts.len());
    for mount in &sandbox.mounts {
        detached.push(match mount {
            Mount::Bind { source, target, access, recursive, idmap } => {
                let mut attributes = flag("mount-nosuid", sys::MOUNT_ATTR_NOSUID);
                attributes |= flag("mount-nodev", sys::MOUNT_ATTR_NODEV);
                if *access == Access::ReadOnly {
                    attributes |= flag("mount-readonly", sys::MOUNT_ATTR_RDONLY);
                }
                let map = map_of(target, *idmap)?;
                Prepared::Mount(clone_mount(sources, *source, target, *recursive, attributes, map)?)
            }
            Mount::Overlay { lower, layer, target, idmap } => {
                let map = map_of(target, *idmap)?;
                let attributes =
                    flag("mount-nosuid", sys::MOUNT_ATTR_NOSUID) | flag("mount-nodev", sys::MOUNT_ATTR_NODEV);
                let read_only = attributes | sys::MOUNT_ATTR_RDONLY;
                Prepared::Layers(Layers {
                    lower: clone_mount(sources, *lower, target, false, read_only, map)?,
                    layer: clone_mount(sources, *layer, target, false, attributes, map)?,
                })
            }
            Mount::Device { source, target } => {
                let attributes = flag("mount-nosuid", sys::MOUNT_ATTR_NOSUID);
                Prepared::Mount(clone_mount(sources, *source, target, false, attributes, None)?)
            }
            // Not copied: a mount that was never attached is attached as it is.
            Mount::Own { source, target, .. } => Prepared::Mount(own_mount(sources, *source, target)?),
            _ => Prepared::Nothing,
        });
    }
    Ok(detached)
}

fn flag(step: &str, attribute: u64) -> u64 {
    if in_force(step) { attribute } else { 0 }
}

fn clone_mount(
    sources: &[OwnedFd],
    SourceIndex { index }: SourceIndex,
    target: &InnerPath,
    recursive: bool,
    attributes: u64,
    map: Option<&OwnedFd>,
) -> Result<OwnedFd, StepError> {
    let step = || format!("bind {target}");
    let source = sources
        .get(usize::from(index))
        .ok_or_else(|| StepError::new(step(), format!("the plan has no source {index}")))?;
    let mount = detached_copy(source, recursive).step_with(step)?;
    sys::mount_setattr(mount.as_fd(), recursive, attributes, libc::MS_PRIVATE, map.map(AsFd::as_fd))
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) if map.is_some() => StepError::new(
                step(),
                "this file system has no id-mapped mounts, which a leased identity needs; move it to ext4, xfs, btrfs \
                 or tmpfs, or ask for --posture L1",
            ),
            _ => StepError::new(step(), error),
        })?;
    Ok(mount)
}

fn own_mount(
    sources: &[OwnedFd],
    SourceIndex { index }: SourceIndex,
    target: &InnerPath,
) -> Result<OwnedFd, StepError> {
    let step = || format!("own file system {target}");
    let source = sources.get(usize::from(index));
    let source = source.ok_or_else(|| StepError::new(step(), format!("the plan has no source {index}")))?;
    source.try_clone().step_with(step)
}

/// A detached mount of what a descriptor refers to, with all that is mounted below it when `recursive`.
fn detached_copy(source: &OwnedFd, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(source, "", flags)
}

/// Makes an empty, read-only directory the root of this process, in a mount namespace of its own.
///
/// # Errors
/// The step that failed.
pub(crate) fn enter_empty() -> Result<(), StepError> {
    make_private()?;
    let root = in_memory("mode=0555", 4096, 2, false)?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step("attach the empty root")?;
    sys::mount_setattr(root.as_fd(), false, sys::MOUNT_ATTR_RDONLY, 0, None)
        .step("make the root read-only")?;
    become_root(&root)
}

/// What files are covered with: the null device, on mounts that open no device. Programs take what is no regular file
/// for nothing of theirs: a bundler passes over such an `.env`, git adds what lies beside it. With a file that cannot be
/// read both would end.
fn null_device() -> Result<OwnedFd, StepError> {
    const STEP: &str = "what files are covered with";
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open("/dev/null", flags, Mode::empty()).step(STEP)?;
    let stat = stat(&file, || STEP.to_owned())?;
    // Numbers of Linux' list of devices (Documentation/admin-guide/devices.txt).
    let number = rustix::fs::makedev(1, 3);
    match FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == number {
        true => Ok(file),
        false => Err(StepError::new(STEP, "/dev/null is another file")),
    }
}

/// The namespace is a copy of the host's; nothing done in it may travel back.
fn make_private() -> Result<(), StepError> {
    let here = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open /")?;
    sys::mount_setattr(here.as_fd(), true, 0, libc::MS_PRIVATE, None).step("make mounts private")
}

/// Makes an attached tree the root and drops the copy of the host's.
fn become_root(root: &OwnedFd) -> Result<(), StepError> {
    rustix::process::fchdir(root).step("enter the new root")?;
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one.
    rustix::process::pivot_root(".", ".").step("pivot_root")?;
    if in_force("old-root") {
        rustix::mount::unmount(".", UnmountFlags::DETACH).step("drop the old root")?;
    }
    rustix::process::chdir("/").step("enter the new root")
}

/// The new root while it is being built.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    root: OwnedFd,
    /// What covers files.
    null_device: OwnedFd,
    /// Device numbers of the file systems that were made here, the only ones that get new files.
    made: Vec<u64>,
    root_is_made: bool,
    agent: &'a Ids,
}

impl<'a> Tree<'a> {
    /// Builds the plan's file system and makes it the root of this process and of all that it starts.
    ///
    /// # Errors
    /// The first step that failed.
    pub(crate) fn enter(sandbox: &Sandbox, detached: Detached, agent: &'a Ids) -> Result<(), StepError> {
        make_private()?;
        let mut mounts = Vec::with_capacity(detached.len());
        for prepared in detached {
            mounts.push(match prepared {
                Prepared::Nothing => None,
                Prepared::Mount(mount) => Some(mount),
                Prepared::Layers(layers) => Some(overlay::mount(layers, agent)?),
            });
        }
        let mut steps = sandbox.mounts.iter().zip(mounts).peekable();
        let host_root =
            steps.next_if(|(mount, _)| mount.target().is_root() && matches!(mount, Mount::Bind { .. }));
        let (root, root_is_made) = match host_root {
            Some((_, Some(mount))) => (mount, false),
            _ => (in_memory("mode=0755", 16 << 20, 4096, true)?, true),
        };
        let null_device = null_device()?;
        // Attached over any directory of the copy, which is gone a moment later.
        move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step("attach the new root")?;
        let mut tree = Self { root, null_device, made: Vec::new(), root_is_made, agent };
        if root_is_made {
            tree.remember(&tree.root.try_clone().step("new root")?)?;
        }
        for (mount, detached) in steps {
            tree.put(mount, detached)?;
        }
        tree.finish()
    }

    fn put(&mut self, mount: &Mount, detached: Option<OwnedFd>) -> Result<(), StepError> {
        let step = || format!("mount {}", mount.target());
        match mount {
            Mount::Bind { target, .. } | Mount::Overlay { target, .. } | Mount::Device { target, .. } => {
                let source = detached.ok_or_else(|| StepError::new(step(), "was not prepared"))?;
                let is_directory = is_directory(&stat(&source, step)?);
                let place = self.place(target, is_directory)?;
                let attached = attach(&source, &place);
                // The kernel mounts nothing that was unlinked since it was opened, as by the rename of another file over it.
                if attached == Err(rustix::io::Errno::NOENT) && stat(&source, step)?.st_nlink == 0 {
                    return Err(StepError::new(
                        step(),
                        "it was replaced while the session began; start again",
                    ));
                }
                attached.step_with(step)
            }
            Mount::Own { target, .. } => {
                let source = detached.ok_or_else(|| StepError::new(step(), "was not prepared"))?;
                let place = self.place(target, true)?;
                attach(&source, &place).step_with(step)?;
                self.remember(&source)
            }
            Mount::Tmpfs { target, mode, size_bytes, inodes, owner, exec } => {
                let (uid, gid) = self.ids(*owner);
                let options = format!("mode={mode:o},uid={uid},gid={gid}");
                let made = in_memory(&options, *size_bytes, *inodes, *exec)?;
                let place = self.place(target, true)?;
                attach(&made, &place).step_with(step)?;
                self.remember(&made)
            }
            Mount::Directory { path, mode, owner } => {
                let (parent, name) = self.parent(path)?;
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(StepError::new(step(), std::io::Error::from(error))),
                }
                let made = open_at(&parent, name, OFlags::DIRECTORY).step_with(step)?;
                self.give(&made, *owner, *mode).step_with(step)
            }
            Mount::File { path, mode, owner, content } => {
                let (parent, name) = self.parent(path)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file =
                    rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600)).step_with(step)?;
                let mut rest = &content.0[..];
                while !rest.is_empty() {
                    let written = rustix::io::write(&file, rest).step_with(step)?;
                    rest = &rest[written..];
                }
                self.give(&file, *owner, *mode).step_with(step)
            }
            Mount::Symlink { path, to } => {
                let (parent, name) = self.parent(path)?;
                rustix::fs::symlinkat(to, &parent, name).step_with(step)
            }
            Mount::Proc { target } => {
                let proc = filesystem("proc", &[], true, step)?;
                attach(&proc, &self.place(target, true)?).step_with(step)
            }
            Mount::DevPts { target } => {
                // The kernel counts terminals of all instances together (kernel.pty.max): without a bound
                // of its own one session would leave the machine none.
                let options = [("mode", "0620"), ("ptmxmode", "0666"), ("max", TERMINALS)];
                let pts = filesystem("devpts", &options, true, step)?;
                attach(&pts, &self.place(target, true)?).step_with(step)
            }
            Mount::MessageQueues { target } => {
                let queues = filesystem("mqueue", &[], true, step)?;
                attach(&queues, &self.place(target, true)?).step_with(step)
            }
            Mount::Mask { target } if in_force("proc-mask") => self.mask(target),
            Mount::ReadOnly { target } if in_force("proc-mask") => self.freeze(target),
            Mount::Mask { .. } | Mount::ReadOnly { .. } => Ok(()),
            Mount::Hold { target, hiding } if in_force("project-holds") => self.hold(target, *hiding),
            Mount::Hold { .. } => Ok(()),
        }
    }

    /// Makes a directory of the project a mount of its own. It comes with the owners' map, `nosuid` and
    /// `nodev` of the mount that it lies in.
    fn hold(&self, target: &InnerPath, hiding: Hiding) -> Result<(), StepError> {
        let step = || format!("hold {target}");
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = rustix::fs::openat2(&self.root, target.as_c_str(), flags, Mode::empty(), how)
            .map_err(std::io::Error::from)
            .map_err(|error| {
                StepError::new(step(), format!("{error}; the project changed meanwhile, start again"))
            })?;
        if hiding == Hiding::Hidden {
            return match self.cover(&place, step)? {
                true => Ok(()),
                false => Err(StepError::new(step(), "the project changed meanwhile, start again")),
            };
        }
        let copy = detached_copy(&place, false).step_with(step)?;
        if hiding == Hiding::ReadOnly {
            sys::mount_setattr(copy.as_fd(), false, sys::MOUNT_ATTR_RDONLY, 0, None).step_with(step)?;
        }
        attach(&copy, &place).step_with(step)
    }

    fn mask(&self, target: &InnerPath) -> Result<(), StepError> {
        // Who saves a file by renaming another over it takes away what was looked up: look again.
        for _ in 0..MASK_LOOKS {
            if self.mask_what_is_there(target)? {
                return Ok(());
            }
        }
        Err(StepError::new(
            format!("mask {target}"),
            "it is replaced all the time; start again when that is over",
        ))
    }

    /// False when what was there is there no more.
    fn mask_what_is_there(&self, target: &InnerPath) -> Result<bool, StepError> {
        match self.existing(target)? {
            Some(hidden) => self.cover(&hidden, || format!("mask {target}")),
            None => Ok(true),
        }
    }

    /// False when it is there no more.
    fn cover(&self, hidden: &OwnedFd, step: impl Fn() -> String + Copy) -> Result<bool, StepError> {
        let cover = if is_directory(&stat(hidden, step)?) {
            in_memory("mode=0555", 4096, 4, false)?
        } else {
            detached_copy(&self.null_device, false).step_with(step)?
        };
        let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NODEV | sys::MOUNT_ATTR_NOSUID;
        sys::mount_setattr(cover.as_fd(), false, attributes, 0, None).step_with(step)?;
        match attach(&cover, hidden) {
            Err(rustix::io::Errno::NOENT) => Ok(false),
            other => other.map(|()| true).step_with(step),
        }
    }

    fn freeze(&self, target: &InnerPath) -> Result<(), StepError> {
        let step = || format!("make {target} read-only");
        let Some(place) = self.existing(target)? else { return Ok(()) };
        let copy = detached_copy(&place, false).step_with(step)?;
        sys::mount_setattr(copy.as_fd(), false, sys::MOUNT_ATTR_RDONLY, 0, None).step_with(step)?;
        attach(&copy, &place).step_with(step)
    }

    fn finish(self) -> Result<(), StepError> {
        if self.root_is_made && in_force("root-readonly") {
            sys::mount_setattr(self.root.as_fd(), false, sys::MOUNT_ATTR_RDONLY, 0, None)
                .step("make the root read-only")?;
        }
        become_root(&self.root)
    }

    /// What is at `target` now. Links are followed inside the new root only.
    fn existing(&self, target: &InnerPath) -> Result<Option<OwnedFd>, StepError> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = target.as_c_str();
        match rustix::fs::openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how) {
            Ok(place) => Ok(Some(place)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(StepError::new(format!("look up {target}"), std::io::Error::from(error))),
        }
    }

    /// A place to mount on, made where it is missing.
    fn place(&self, target: &InnerPath, directory: bool) -> Result<OwnedFd, StepError> {
        let step = || format!("mount point {target}");
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.root, target.as_c_str(), flags, Mode::empty(), how) {
            Ok(place) => return Ok(place),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(StepError::new(step(), std::io::Error::from(error))),
        }
        let (parent, name) = self.parent(target)?;
        if directory {
            return self.make_directory(&parent, name).step_with(step);
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::empty()).step_with(step)
    }

    /// The directory that holds `path`, made where it is missing, and the last name.
    fn parent<'p>(&self, path: &'p InnerPath) -> Result<(OwnedFd, &'p [u8]), StepError> {
        let step = || format!("directory of {path}");
        let mut parts = path.parts();
        let name = parts.next_back().ok_or_else(|| StepError::new(step(), "/ has no parent"))?;
        let mut directory = self.root.try_clone().step_with(step)?;
        for part in parts {
            directory = match open_at(&directory, part, OFlags::DIRECTORY) {
                Err(rustix::io::Errno::NOENT) => {
                    self.only_on_made(&directory, path)?;
                    self.make_directory(&directory, part)
                }
                found => found,
            }
            .step_with(step)?;
        }
        if matches!(open_at(&directory, name, OFlags::empty()), Err(rustix::io::Errno::NOENT)) {
            self.only_on_made(&directory, path)?;
        }
        Ok((directory, name))
    }

    fn only_on_made(&self, directory: &OwnedFd, path: &InnerPath) -> Result<(), StepError> {
        let step = || format!("mount point {path}");
        if self.made.contains(&stat(directory, step)?.st_dev) {
            return Ok(());
        }
        Err(StepError::new(step(), "does not exist, and nothing is created on the host"))
    }

    /// A directory with the owner of the one it is made in, so that a home's subdirectories are the
    /// agent's.
    fn make_directory(&self, parent: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        let made = open_at(parent, name, OFlags::DIRECTORY)?;
        let owner = rustix::fs::fstat(parent)?;
        if owner.st_uid == self.agent.uid {
            chown(&made, self.agent.uid, self.agent.gid)?;
        }
        Ok(made)
    }

    fn remember(&mut self, mount: &OwnedFd) -> Result<(), StepError> {
        self.made.push(stat(mount, || "file system in memory".to_owned())?.st_dev);
        Ok(())
    }

    fn ids(&self, owner: Owner) -> (u32, u32) {
        match owner {
            Owner::Root => (0, 0),
            Owner::Agent => (self.agent.uid, self.agent.gid),
        }
    }

    /// Owner and mode of what was just made; the owner first, since a change of owner clears bits.
    fn give(&self, file: &OwnedFd, owner: Owner, mode: u32) -> rustix::io::Result<()> {
        let (uid, gid) = self.ids(owner);
        chown(file, uid, gid)?;
        // Through /proc or with AT_EMPTY_PATH only from Linux 6.6 on: a directory is opened for reading.
        rustix::fs::chmodat(file, c"", Mode::from_raw_mode(mode), AtFlags::EMPTY_PATH).or_else(|_| {
            let readable = rustix::fs::openat(file, c".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            rustix::fs::fchmod(readable.as_ref().unwrap_or(file), Mode::from_raw_mode(mode))
        })
    }
}

fn chown(file: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    rustix::fs::chownat(file, c"", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
}

fn open_at(directory: &OwnedFd, name: &[u8], more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn stat(file: &OwnedFd, step: impl FnOnce() -> String) -> Result<Stat, StepError> {
    rustix::fs::fstat(file).step_with(step)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(crate) fn attach(mount: &OwnedFd, place: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

pub(crate) fn in_memory(
    options: &str,
    size_bytes: u64,
    inodes: u64,
    exec: bool,
) -> Result<OwnedFd, StepError> {
    let (size, inodes) = (size_bytes.to_string(), inodes.to_string());
    let mut pairs = vec![("size", &*size), ("nr_inodes", &*inodes)];
    pairs.extend(options.split(',').filter_map(|option| option.split_once('=')));
    filesystem("tmpfs", &pairs, !exec, || "file system in memory".to_owned())
}

/// A new file system as a detached mount, nosuid and nodev.
fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    noexec: bool,
    step: impl Fn() -> String,
) -> Result<OwnedFd, StepError> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).step_with(&step)?;
    for (key, value) in options {
        match *value {
            "" => fsconfig_set_flag(context.as_fd(), *key),
            value => fsconfig_set_string(context.as_fd(), *key, value),
        }
        .step_with(|| format!("{}: option {key}={value}", step()))?;
    }
    fsconfig_create(context.as_fd()).step_with(&step)?;
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, in_force("mount-nosuid"));
    // A terminal is a device: with nodev nobody could open it.
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, kind != "devpts" && in_force("mount-nodev"));
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, noexec);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).step_with(&step)
}
