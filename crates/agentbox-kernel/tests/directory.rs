//! Directories, files in them and removal, on a real file system and as root.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::directory::{
    Directories, DirectoryError, Paths, open_append, read_file, remove_file, remove_tree, write_atomic,
};
use rustix::fs::{self, FileType, Mode};
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn place() -> (tempfile::TempDir, OwnedFd) {
    let place = tempfile::tempdir().unwrap();
    let fd = std::fs::File::open(place.path()).unwrap().into();
    (place, fd)
}

fn paths(base: &Path) -> Paths {
    Paths { runtime: base.join("run/agentbox"), state: base.join("state"), logs: base.join("logs") }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn directories_are_made_with_their_modes_and_found_again() {
    let (place, _fd) = place();
    let paths = paths(place.path());
    assert!(Directories::open(paths.clone(), false).is_err());
    Directories::open(paths.clone(), true).unwrap();
    Directories::open(paths.clone(), false).unwrap();
    assert_eq!(mode(&paths.runtime), 0o755);
    assert_eq!(mode(&paths.runtime.join("sessions")), 0o700);
    assert_eq!(mode(&paths.state), 0o711);
    assert_eq!(mode(&paths.logs), 0o700);
}

#[test]
fn a_directory_that_others_can_write_or_own_is_refused() {
    let (place, _fd) = place();
    let paths = paths(place.path());
    Directories::open(paths.clone(), true).unwrap();
    for bad in [0o775, 0o757] {
        std::fs::set_permissions(&paths.state, PermissionsExt::from_mode(bad)).unwrap();
        let error = Directories::open(paths.clone(), true).unwrap_err();
        assert!(matches!(error, DirectoryError::Writable { .. }), "{error}");
    }
    std::fs::set_permissions(&paths.state, PermissionsExt::from_mode(0o711)).unwrap();
    chown(&paths.logs, Some(1234), None).unwrap();
    let error = Directories::open(paths, true).unwrap_err();
    assert!(matches!(error, DirectoryError::Owner { found: 1234, wanted: 0, .. }), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_directory_is_refused() {
    let (place, _fd) = place();
    let paths = paths(place.path());
    Directories::open(paths.clone(), true).unwrap();
    std::fs::rename(&paths.state, place.path().join("elsewhere")).unwrap();
    symlink("elsewhere", &paths.state).unwrap();
    let error = Directories::open(paths, true).unwrap_err();
    assert!(matches!(error, DirectoryError::Kind { found: "symbolic link", .. }), "{error}");
}

#[test]
fn a_session_has_its_directory_until_it_is_removed() {
    let (place, _fd) = place();
    let directories = Directories::open(paths(place.path()), true).unwrap();
    let id = "abc".parse().unwrap();
    assert!(directories.open_session(&id).unwrap().is_none());
    let made = directories.create_session(&id).unwrap();
    write_atomic(&made, "ledger", b"x", 0o600, true).unwrap();
    assert!(matches!(directories.create_session(&id), Err(DirectoryError::Exists { .. })));
    assert!(directories.open_session(&id).unwrap().is_some());
    std::fs::create_dir(directories.paths.runtime.join("sessions/Not an id\n")).unwrap();
    let names = directories.list_sessions().unwrap();
    assert_eq!((names.ids, names.strangers), (vec![id.clone()], vec!["Not an id\n".into()]));
    directories.remove_session(&id).unwrap();
    directories.remove_session(&id).unwrap();
    assert!(directories.open_session(&id).unwrap().is_none());
}

#[test]
fn a_volume_belongs_to_the_person_and_what_is_above_it_to_root() {
    let (place, _fd) = place();
    let directories = Directories::open(paths(place.path()), true).unwrap();
    let parts = ["1234", "work", "key", ".claude"];
    directories.volume(&parts, 1234, 4321).unwrap();
    let volume = directories.paths.state.join("state/1234/work/key/.claude");
    let found = std::fs::metadata(&volume).unwrap();
    assert_eq!((found.uid(), found.gid(), mode(&volume)), (1234, 4321, 0o700));
    let above = std::fs::metadata(volume.parent().unwrap()).unwrap();
    assert_eq!((above.uid(), above.mode() & 0o7777), (0, 0o711));
    directories.volume(&parts, 1234, 4321).unwrap();

    let other = directories.volume(&parts, 1235, 4321).unwrap_err();
    assert!(matches!(other, DirectoryError::Owner { found: 1234, wanted: 1235, .. }), "{other}");
    for bad in [&["..", "x"][..], &["a/b"], &[""], &[]] {
        assert!(matches!(directories.volume(bad, 1234, 4321), Err(DirectoryError::Name(_))), "{bad:?}");
    }
    std::fs::remove_dir(&volume).unwrap();
    symlink("/etc", &volume).unwrap();
    let error = directories.volume(&parts, 1234, 4321).unwrap_err();
    assert!(matches!(error, DirectoryError::Kind { found: "symbolic link", .. }), "{error}");
}

#[test]
fn the_lock_is_held_by_one_and_free_again_when_closed() {
    let (place, _fd) = place();
    let directories = Directories::open(paths(place.path()), true).unwrap();
    let held = directories.lock(false).unwrap().unwrap();
    assert!(directories.lock(false).unwrap().is_none());
    drop(held);
    assert!(directories.lock(true).unwrap().is_some());
}

#[test]
fn a_file_is_replaced_whole_and_nothing_else_is_left() {
    let (place, fd) = place();
    write_atomic(&fd, "status", b"one", 0o600, false).unwrap();
    write_atomic(&fd, "status", b"two", 0o640, true).unwrap();
    assert_eq!(read_file(&fd, "status", 3).unwrap().unwrap(), b"two");
    assert_eq!(mode(&place.path().join("status")), 0o640);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    assert!(matches!(read_file(&fd, "status", 2), Err(DirectoryError::TooLarge { max_bytes: 2, .. })));
    assert!(read_file(&fd, "absent", 10).unwrap().is_none());
}

#[test]
fn writing_replaces_a_link_and_not_what_it_leads_to() {
    let (place, fd) = place();
    std::fs::write(place.path().join("victim"), "safe").unwrap();
    symlink("victim", place.path().join("status")).unwrap();
    write_atomic(&fd, "status", b"new", 0o600, false).unwrap();
    assert_eq!(std::fs::read(place.path().join("victim")).unwrap(), b"safe");
    assert!(place.path().join("status").symlink_metadata().unwrap().is_file());
}

#[test]
fn what_is_no_regular_file_is_neither_read_nor_appended_to() {
    let (place, fd) = place();
    let path = |name: &str| place.path().join(name);
    std::fs::write(path("victim"), "safe").unwrap();
    symlink("victim", path("link")).unwrap();
    fs::mknodat(&fd, "pipe", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for (name, word) in
        [("link", "symbolic link"), ("pipe", "named pipe"), ("directory", "directory"), ("socket", "socket")]
    {
        let read = read_file(&fd, name, 10).unwrap_err();
        assert!(matches!(&read, DirectoryError::Kind { found, .. } if *found == word), "{name}: {read}");
        let open = open_append(&fd, name, 0o600).unwrap_err();
        assert!(matches!(&open, DirectoryError::Kind { found, .. } if *found == word), "{name}: {open}");
    }
    assert_eq!(std::fs::read(path("victim")).unwrap(), b"safe");
}

#[test]
fn appending_keeps_what_is_there_and_refuses_files_of_others() {
    let (place, fd) = place();
    open_append(&fd, "log", 0o600).unwrap().write_all(b"one\n").unwrap();
    open_append(&fd, "log", 0o600).unwrap().write_all(b"two\n").unwrap();
    assert_eq!(read_file(&fd, "log", 100).unwrap().unwrap(), b"one\ntwo\n");
    assert_eq!(mode(&place.path().join("log")), 0o600);
    chown(place.path().join("log"), Some(1234), None).unwrap();
    assert!(matches!(open_append(&fd, "log", 0o600), Err(DirectoryError::Owner { found: 1234, .. })));
    chown(place.path().join("log"), Some(0), None).unwrap();
    std::fs::set_permissions(place.path().join("log"), PermissionsExt::from_mode(0o620)).unwrap();
    assert!(matches!(open_append(&fd, "log", 0o600), Err(DirectoryError::Writable { .. })));
}

#[test]
fn names_that_are_paths_are_refused_everywhere() {
    let (_place, fd) = place();
    for bad in ["", ".", "..", "a/b", "../x", "/etc/passwd"] {
        let refused = |result: Result<(), DirectoryError>| matches!(result, Err(DirectoryError::Name(_)));
        assert!(refused(write_atomic(&fd, bad, b"", 0o600, false)), "{bad:?}");
        assert!(refused(read_file(&fd, bad, 10).map(drop)), "{bad:?}");
        assert!(refused(open_append(&fd, bad, 0o600).map(drop)), "{bad:?}");
        assert!(refused(remove_file(&fd, bad)), "{bad:?}");
        assert!(refused(remove_tree(&fd, bad)), "{bad:?}");
    }
}

#[test]
fn a_tree_with_twenty_thousand_files_is_removed() {
    let (place, fd) = place();
    let tree = place.path().join("tree");
    for directory in 0..20 {
        let directory = tree.join(format!("d{directory}/deeper"));
        std::fs::create_dir_all(&directory).unwrap();
        for file in 0..1000 {
            std::fs::File::create(directory.join(format!("f{file}"))).unwrap();
        }
    }
    remove_tree(&fd, "tree").unwrap();
    assert!(!tree.exists());
    remove_tree(&fd, "tree").unwrap();
}

#[test]
fn links_pipes_and_hostile_names_are_removed_and_nothing_they_lead_to() {
    let (place, fd) = place();
    let tree = place.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::create_dir(place.path().join("outside")).unwrap();
    std::fs::write(place.path().join("outside/file"), "safe").unwrap();
    symlink("../outside", tree.join("relative")).unwrap();
    symlink(place.path().join("outside"), tree.join("absolute")).unwrap();
    symlink("..", tree.join("up")).unwrap();
    fs::mknodat(&fd, "tree/pipe", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for name in [&b"new\nline"[..], b"\x1b[2J", b"-rf", b"not text \xff", b" "] {
        std::fs::create_dir(tree.join(OsStr::from_bytes(name))).unwrap();
        std::fs::write(tree.join(OsStr::from_bytes(name)).join(OsStr::from_bytes(name)), "").unwrap();
    }
    let locked = tree.join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::write(locked.join("x"), "").unwrap();
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o0)).unwrap();
    remove_tree(&fd, "tree").unwrap();
    assert!(!tree.exists());
    assert_eq!(std::fs::read(place.path().join("outside/file")).unwrap(), b"safe");
}

#[test]
fn a_link_to_a_tree_is_removed_and_the_tree_stays() {
    let (place, fd) = place();
    std::fs::create_dir(place.path().join("outside")).unwrap();
    symlink("outside", place.path().join("tree")).unwrap();
    remove_tree(&fd, "tree").unwrap();
    assert!(place.path().join("tree").symlink_metadata().is_err());
    assert!(place.path().join("outside").is_dir());
}

#[test]
fn any_nesting_is_removed() {
    let (place, fd) = place();
    std::fs::create_dir(place.path().join("d")).unwrap();
    let mut here = std::fs::File::open(place.path().join("d")).unwrap();
    // Deeper than a path can say.
    for level in 0..3000 {
        rustix::fs::mkdirat(&here, "d", rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
        if level % 100 == 0 {
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            rustix::fs::openat(&here, "file", flags, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        }
        let next = rustix::fs::openat(&here, "d", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        here = next.unwrap().into();
    }
    drop(here);
    remove_tree(&fd, "d").unwrap();
    assert!(!place.path().join("d").exists());
}

#[test]
fn a_mount_in_a_tree_is_reported_and_what_is_mounted_stays() {
    let (place, fd) = place();
    let (outside, point) = (place.path().join("outside"), place.path().join("tree/point"));
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(&point).unwrap();
    std::fs::write(outside.join("file"), "safe").unwrap();
    rustix::mount::mount_bind(&outside, &point).unwrap();
    let mounted = Mounted(point);
    let error = remove_tree(&fd, "tree").unwrap_err();
    assert!(matches!(error, DirectoryError::Mounted { .. }), "{error}");
    drop(mounted);
    assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"safe");
    remove_tree(&fd, "tree").unwrap();
}

/// Unmounts when the test ends, however it ends.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn exchanging_a_directory_for_a_link_during_removal_spares_what_it_leads_to() {
    let (place, fd) = place();
    let outside = place.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    for file in 0..50 {
        std::fs::write(outside.join(format!("f{file}")), "safe").unwrap();
    }
    for _ in 0..10 {
        let tree = place.path().join("tree");
        std::fs::create_dir_all(tree.join("swapped/deeper")).unwrap();
        std::fs::write(tree.join("swapped/deeper/x"), "").unwrap();
        symlink("../outside", tree.join("link")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, two) = (tree.join("swapped"), tree.join("link"));
                for _ in 0..20_000 {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ =
                        fs::renameat_with(fs::CWD, &one, fs::CWD, &two, rustix::fs::RenameFlags::EXCHANGE);
                }
            });
            // The race may make one removal give up; it must never take what is outside.
            let _ = remove_tree(&fd, "tree");
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 50);
        remove_tree(&fd, "tree").unwrap();
        assert!(!tree.exists());
    }
}

#[test]
fn a_layer_goes_whole_or_not_at_all() {
    let (place, _fd) = place();
    let directories = Directories::open(paths(place.path()), true).unwrap();
    let overlays = place.path().join("state/overlay");
    let make = |name: &str| {
        std::fs::create_dir_all(overlays.join(name).join("data/upper/deep")).unwrap();
        std::fs::write(overlays.join(name).join("data/upper/deep/file"), "x").unwrap();
    };
    let id = "abc12345".parse().unwrap();
    make("abc12345");
    make("other123");
    // An earlier removal was killed: what is left of it is no layer, and in nobody's way.
    make("abc12345.going");
    make("half1234.going");
    assert_eq!(directories.list_layers().unwrap().len(), 2);
    directories.remove_layer(&id).unwrap();
    assert!(directories.open_layer(&id).unwrap().is_none());
    directories.remove_layer(&id).unwrap();
    directories.remove_going_layers().unwrap();
    let left: Vec<_> =
        std::fs::read_dir(&overlays).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["other123"]);
}
