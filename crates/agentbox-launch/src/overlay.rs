//! The project with a layer over it that takes every change (overlayfs).
//!
//! overlayfs does what it does to its layers with the credentials of whoever mounted it. Here these are the
//! agent's own file ids, which the layers' map knows, and two capabilities: one to pass the directory without
//! rights that overlayfs keeps for itself, one to keep its marks where no session can write them
//! (`trusted.*`, xattr(7)). What a session may do is judged before, with the session's own rights.
//!
//! Kernels before 6.15 take no detached mount for a layer, so both are attached for a moment, in the session's
//! own mount namespace, on a file system in memory that covers nothing anybody uses.

use crate::step::{InStep, StepError, in_force};
use crate::sys;
use crate::tree::{attach, in_memory};
use agentbox_plan::Ids;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use rustix::thread::CapabilitySet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Detached mounts with their maps.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The project, read-only.
    pub(crate) lower: OwnedFd,
    /// The directory that holds `upper` and `work`.
    pub(crate) layer: OwnedFd,
}

const STEP: &str = "overlay of the project";

/// Mounts the layers, in a mount namespace of its own; a detached mount.
///
/// # Errors
/// The step that failed.
pub(crate) fn mount(layers: Layers, agent: &Ids) -> Result<OwnedFd, StepError> {
    let scratch = in_memory("mode=0700", 4096, 8, false)?;
    move_mount(&scratch, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step(STEP)?;
    for (name, mount) in [("lower", &layers.lower), ("layer", &layers.layer)] {
        rustix::fs::mkdirat(&scratch, name, Mode::from_raw_mode(0o700)).step(STEP)?;
        attach(mount, &directory(&scratch, name)?).step(STEP)?;
    }
    let (upper, work) = (directory(&layers.layer, "upper")?, directory(&layers.layer, "work")?);
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step("overlayfs of this kernel")?;
    let set = |key: &str, value: &str| {
        fsconfig_set_string(context.as_fd(), key, value).step_with(|| format!("{STEP}: {key}={value}"))
    };
    for (key, layer) in [("lowerdir", &layers.lower), ("upperdir", &upper), ("workdir", &work)] {
        // The descriptor itself, whatever its path has become.
        set(key, &format!("/proc/self/fd/{}", layer.as_raw_fd()))?;
    }
    for (key, value) in OPTIONS {
        set(key, value)?;
    }
    let own = rustix::thread::capabilities(None).step(STEP)?;
    sys::set_file_ids(agent.uid, agent.gid, &agent.groups).step("file ids of the overlay")?;
    let mut few = own;
    few.effective = CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_OVERRIDE;
    rustix::thread::set_capabilities(None, few).step("capabilities of the overlay")?;
    let created = fsconfig_create(context.as_fd()).step("mount the overlay");
    // The rest of the tree is root's work again.
    rustix::thread::set_capabilities(None, own).step("capabilities")?;
    sys::set_file_ids(0, 0, &[]).step("file ids")?;
    created?;
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, in_force("mount-nosuid"));
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, in_force("mount-nodev"));
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).step(STEP)?;
    // overlayfs has mounts of its own of the layers by now.
    let place = format!("/proc/self/fd/{}", scratch.as_raw_fd());
    rustix::mount::unmount(place, UnmountFlags::DETACH).step("drop the layers")?;
    Ok(mount)
}

/// The project changes while no session is mounted over it, which overlayfs allows only without all of these
/// (its documentation, "Changes to underlying filesystems"). So a directory of the project cannot be renamed in
/// one step: rename(2) says EXDEV, and mv(1) copies.
const OPTIONS: [(&str, &str); 5] = [
    ("redirect_dir", "nofollow"),
    ("metacopy", "off"),
    ("index", "off"),
    ("nfs_export", "off"),
    ("xino", "off"),
];

fn directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).step_with(|| format!("{STEP}: {name}"))
}
