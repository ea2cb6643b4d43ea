//! Checking the directory that a client sent.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::person::Person;
use agentbox_kernel::project::{ProjectError, check};
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const UID: u32 = 2_050_000_001;
const GID: u32 = 2_050_000_002;

fn person() -> Person {
    Person {
        uid: UID,
        gid: GID,
        groups: vec![GID],
        name: "somebody".into(),
        home: "/home/somebody".into(),
        shell: "/bin/sh".into(),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let project = place.path().join("project");
    std::fs::create_dir(&project).unwrap();
    chown(&project, Some(UID), Some(GID)).unwrap();
    (place, project)
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

#[test]
fn a_persons_directory_is_a_project() {
    let (_place, path) = place();
    let project = check(open(&path), &person()).unwrap();
    let stat = std::fs::metadata(&path).unwrap();
    assert_eq!(project.path, path.to_str().unwrap());
    assert_eq!((project.owner_uid, project.owner_gid), (UID, GID));
    assert_eq!((project.device, project.inode), (stat.dev(), stat.ino()));
    assert!(!rustix::fs::fcntl_getfl(&project.fd).unwrap().contains(OFlags::PATH));
}

#[test]
fn a_descriptor_that_proves_no_right_is_refused() {
    let (_place, path) = place();
    let path_only = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert!(matches!(check(path_only, &person()), Err(ProjectError::NotReadable)));
}

#[test]
fn what_is_no_directory_is_refused() {
    let (_place, path) = place();
    std::fs::write(path.join("file"), "x").unwrap();
    let file = std::fs::File::open(path.join("file")).unwrap().into();
    assert!(matches!(check(file, &person()), Err(ProjectError::NotADirectory { found: "file" })));
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    assert!(matches!(check(pipe, &person()), Err(ProjectError::NotADirectory { .. })));
}

#[test]
fn a_directory_that_the_person_cannot_open_is_refused_though_it_was_sent_open() {
    let (_place, path) = place();
    let sent = open(&path);
    chown(&path, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    let refused = check(sent, &person()).unwrap_err();
    assert!(matches!(refused, ProjectError::Denied { .. }), "{refused}");
}

#[test]
fn a_directory_that_was_removed_is_refused() {
    let (_place, path) = place();
    let sent = open(&path);
    std::fs::remove_dir(&path).unwrap();
    assert!(matches!(check(sent, &person()), Err(ProjectError::NoPath(_))));
}

#[test]
fn a_name_that_ends_like_a_removed_one_is_no_obstacle() {
    let (place, path) = place();
    let odd = place.path().join("x (deleted)");
    std::fs::rename(&path, &odd).unwrap();
    assert_eq!(check(open(&odd), &person()).unwrap().path, odd.to_str().unwrap());
}

#[test]
fn a_directory_over_which_something_is_mounted_is_refused() {
    let (place, path) = place();
    let sent = open(&path);
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    rustix::mount::mount_bind(&other, &path).unwrap();
    let refused = check(sent, &person());
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(matches!(refused, Err(ProjectError::Elsewhere { .. })), "{refused:?}");
}

#[test]
fn a_directory_reached_through_a_link_has_its_real_path() {
    let (place, path) = place();
    symlink("project", place.path().join("link")).unwrap();
    let project = check(open(&place.path().join("link")), &person()).unwrap();
    assert_eq!(project.path, path.to_str().unwrap());
}

#[test]
fn a_path_that_is_not_text_is_refused_and_control_characters_are_escaped_in_messages() {
    use std::os::unix::ffi::OsStrExt;
    let (place, path) = place();
    let binary = place.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    std::fs::rename(&path, &binary).unwrap();
    assert!(matches!(check(open(&binary), &person()), Err(ProjectError::NoPath(_))));
    let hostile = place.path().join("a\x1b[2Jb");
    std::fs::rename(&binary, &hostile).unwrap();
    let sent = open(&hostile);
    std::fs::set_permissions(&hostile, PermissionsExt::from_mode(0o0)).unwrap();
    let message = check(sent, &person()).unwrap_err().to_string();
    assert!(message.contains("\\u{1b}[2Jb") && !message.contains('\x1b'), "{message}");
}
