//! The layers of sessions that work on an overlay of their project, and how their owner looks at them.
//!
//! STATE/overlay/ID outlives its session, until what is in it was applied or discarded. It and the directory
//! above are root's, mode 0700, so nobody comes to it by a path. In it:
//!
//! | name | whose | what |
//! |---|---|---|
//! | `record` | root's | whose layer it is and over what (the supervisor's, not read here) |
//! | `data/upper`, `data/work` | the owner's | what overlayfs writes |
//! | `review` | the owner's | what `apply` remembers |
//!
//! Nothing in a layer is interpreted here. How a session left the project is shown by the same file system
//! that took the changes, mounted again without a place to write.

use crate::directory::{self, Directories, DirectoryError};
use crate::file::{check_name, single_name};
use crate::person::Person;
use crate::project::Project;
use crate::source::with_rights_keeping;
use agentbox_plan::SessionId;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{self, Dir, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use rustix::thread::CapabilitySet;
use std::io;

const OVERLAYS: &str = "overlay";
/// What follows an id in the name of what was its layer. No id ends so.
const GOING: &str = ".going";
const DATA: &str = "data";
const REVIEW: &str = "review";
/// The parts of a layer that overlayfs gets.
const PARTS: [&str; 2] = ["upper", "work"];

/// A layer, open.
#[derive(Debug)]
pub struct Layer {
    /// STATE/overlay/ID.
    pub root: OwnedFd,
    /// The directory with `upper` and `work`.
    pub data: OwnedFd,
}

/// What its owner looks at.
#[derive(Debug)]
pub struct View {
    /// What the session wrote, as a read-only mount: which names were touched.
    pub upper: OwnedFd,
    /// The project as the session left it, as a read-only mount.
    pub merged: OwnedFd,
    /// Where `apply` remembers what it does, for writing.
    pub review: OwnedFd,
}

/// Why a layer cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// One of its directories.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A call failed.
    #[error("cannot {doing} the layer: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> LayerError {
    move |errno| LayerError::Io { doing, cause: errno.into() }
}

impl Directories {
    fn overlays(&self) -> Result<OwnedFd, DirectoryError> {
        directory::open_in(&self.state, &check_name(OVERLAYS)?, 0o700, true)
    }

    /// Makes the layer of a session over `project`, or opens the one that is there. What a crash left half
    /// made is completed.
    ///
    /// # Errors
    /// [`LayerError`] when something on the way is not what it should be.
    pub fn make_layer(
        &self,
        id: &SessionId,
        person: &Person,
        project: &Project,
    ) -> Result<Layer, LayerError> {
        let root = directory::open_in(&self.overlays()?, &single_name(id.as_str().as_ref())?, 0o700, true)?;
        let owner = (Uid::from_raw(person.uid), Gid::from_raw(person.gid));
        let data = own_directory(&root, DATA, owner, 0o700)?;
        own_directory(&root, REVIEW, owner, 0o700)?;
        for part in PARTS {
            // The root of what the session sees has owner and mode of `upper`.
            let (owner, mode) = match part {
                "upper" => {
                    ((Uid::from_raw(project.owner_uid), Gid::from_raw(project.owner_gid)), project.mode)
                }
                _ => (owner, 0o700),
            };
            own_directory(&data, part, owner, mode)?;
        }
        Ok(Layer { root, data })
    }

    /// Opens the layer of a session; `None` when it has none.
    ///
    /// # Errors
    /// [`LayerError`] when something has its name that it cannot be.
    pub fn open_layer(&self, id: &SessionId) -> Result<Option<Layer>, LayerError> {
        let root = directory::open_in(&self.overlays()?, &single_name(id.as_str().as_ref())?, 0o700, false);
        let root = match root {
            Ok(root) => root,
            Err(DirectoryError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let data = open_part(&root, DATA)?;
        Ok(Some(Layer { root, data }))
    }

    /// Ids of all sessions with a layer, in order.
    ///
    /// # Errors
    /// [`DirectoryError`] when the directory cannot be read.
    pub fn list_layers(&self) -> Result<Vec<SessionId>, DirectoryError> {
        Ok(directory::names(&self.overlays()?)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes a layer with all that is in it, whole or not at all: from its first moment on it is no layer any more, and
    /// what a crash leaves of it is for [`Self::remove_going_layers`]. None there is fine.
    ///
    /// # Errors
    /// [`DirectoryError`] when something of it remains.
    pub fn remove_layer(&self, id: &SessionId) -> Result<(), DirectoryError> {
        let overlays = self.overlays()?;
        let going = format!("{id}{GOING}");
        // Of a removal that did not come to its end.
        directory::remove_tree(&overlays, &going)?;
        match fs::renameat(&overlays, id.as_str(), &overlays, &going) {
            Ok(()) => directory::remove_tree(&overlays, &going),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(DirectoryError::io("rename", id.to_string(), errno)),
        }
    }

    /// Removes what is left of layers whose removal did not come to its end.
    ///
    /// # Errors
    /// [`DirectoryError`] when something of them remains.
    pub fn remove_going_layers(&self) -> Result<(), DirectoryError> {
        let overlays = self.overlays()?;
        let names = directory::names(&overlays)?;
        names
            .iter()
            .filter(|name| name.ends_with(GOING))
            .try_for_each(|name| directory::remove_tree(&overlays, name))
    }
}

impl Layer {
    /// Whether no session ever changed anything in it.
    ///
    /// # Errors
    /// [`LayerError`] when it cannot be read.
    pub fn is_unchanged(&self) -> Result<bool, LayerError> {
        let upper = open_part(&self.data, PARTS[0])?;
        for entry in Dir::read_from(&upper).map_err(failed("read"))? {
            let entry = entry.map_err(failed("read"))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How the session left `project`, for its owner. The mounts belong to nobody's tree and end with their
    /// descriptors; reading in them takes the owner's rights and no other.
    ///
    /// # Errors
    /// [`LayerError`] when something is missing or the kernel refuses.
    pub fn view(&self, project: impl AsFd, person: &Person) -> Result<View, LayerError> {
        let upper = open_part(&self.data, PARTS[0])?;
        let review = open_part(&self.root, REVIEW)?;
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let copy = open_tree(&upper, c"", flags).map_err(failed("clone"))?;
        crate::sys::seal_mount(copy.as_fd())
            .map_err(|cause| LayerError::Io { doing: "make a read-only view of", cause })?;
        let layers =
            format!("/proc/self/fd/{}:/proc/self/fd/{}", upper.as_raw_fd(), project.as_fd().as_raw_fd());
        let merged = with_rights_keeping(
            person.uid,
            person.gid,
            &person.groups,
            // To mount, and to read the marks that say which directory was replaced.
            CapabilitySet::SYS_ADMIN,
            || merge(&layers),
        );
        let merged = merged
            .and_then(|merged| merged.map_err(io::Error::from))
            .map_err(|cause| LayerError::Io { doing: "mount a view of", cause })?;
        Ok(View { upper: readable(&copy)?, merged: readable(&merged)?, review })
    }
}

fn merge(layers: &str) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let options =
        [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"), ("nfs_export", "off")];
    for (key, value) in [("lowerdir", layers)].into_iter().chain(options).chain([("xino", "on")]) {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A descriptor that proves a right to read, which one of a mount alone does not.
fn readable(mount: &OwnedFd) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(mount, c".", flags, Mode::empty()).map_err(failed("open a view of"))
}

fn open_part(parent: &OwnedFd, name: &str) -> Result<OwnedFd, LayerError> {
    Ok(directory::open_directory(parent, &check_name(name)?)?)
}

fn own_directory(
    parent: &OwnedFd,
    name: &str,
    (uid, gid): (Uid, Gid),
    mode: u32,
) -> Result<OwnedFd, LayerError> {
    match directory::make(parent, &check_name(name)?, 0o700) {
        Ok(()) => {}
        Err(DirectoryError::Exists { .. }) => {
            let there = open_part(parent, name)?;
            let stat = fs::fstat(&there).map_err(failed("examine"))?;
            // Given away last: one that is still root's was left by a crash.
            if stat.st_uid != 0 || uid.is_root() {
                return Ok(there);
            }
        }
        Err(error) => return Err(error.into()),
    }
    let made = open_part(parent, name)?;
    fs::fchmod(&made, Mode::from_raw_mode(mode)).map_err(failed("set the mode of"))?;
    fs::fchown(&made, Some(uid), Some(gid)).map_err(failed("give away"))?;
    Ok(made)
}
