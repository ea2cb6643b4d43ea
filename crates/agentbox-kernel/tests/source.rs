//! Opening with the rights of the system and of persons.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::source::{
    Kind, Opened, Opener, Request, SourceError, open_batch, open_wanted, real_path,
};
use rustix::fs::{FileType, Mode, OFlags};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

const UID: u32 = 2_050_000_001;
const GID: u32 = 2_050_000_002;
const GROUP: u32 = 2_050_000_003;

fn person() -> Opener {
    Opener::Person { uid: UID, gid: GID, groups: vec![GID, GROUP] }
}

/// A directory that everybody can enter, with a home of the person's.
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    set_mode(place.path(), 0o755);
    let home = place.path().join("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(UID), Some(GID)).unwrap();
    (place, home)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn open(path: &Path, by: &Opener, kind: Kind) -> Result<Opened, SourceError> {
    open_wanted(path.to_str().unwrap(), by, kind)
}

#[test]
fn a_person_gets_what_the_person_can_read_and_nothing_more() {
    let (place, home) = place();
    let file = |name: &str, uid, gid, mode| {
        let path = place.path().join(name);
        std::fs::write(&path, "x").unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        set_mode(&path, mode);
        path
    };
    for readable in [
        file("own", UID, 0, 0o400),
        file("gid", 0, GID, 0o040),
        file("group", 0, GROUP, 0o040),
        file("all", 0, 0, 0o004),
    ] {
        let opened = open(&readable, &person(), Kind::Any).unwrap();
        let Opened::File(fd) = opened else { panic!("{opened:?}") };
        assert!(rustix::fs::fcntl_getfl(&fd).unwrap().contains(OFlags::PATH));
        assert_eq!(real_path(&fd).unwrap(), readable.to_str().unwrap());
    }
    for secret in
        [file("roots", 0, 0, 0o600), file("write-only", UID, GID, 0o200), file("other", 77, 77, 0o660)]
    {
        let refused = open(&secret, &person(), Kind::Any).unwrap_err();
        assert!(matches!(refused, SourceError::Denied { uid: UID, .. }), "{refused}");
    }
    assert!(matches!(open(&home, &person(), Kind::Directory), Ok(Opened::Directory(_))));
    assert!(matches!(open(&home.join("absent"), &person(), Kind::Any), Ok(Opened::Missing)));
}

#[test]
fn what_lies_behind_a_closed_directory_stays_closed() {
    let (place, _home) = place();
    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::write(closed.join("file"), "x").unwrap();
    set_mode(&closed.join("file"), 0o644);
    set_mode(&closed, 0o700);
    let refused = open(&closed.join("file"), &person(), Kind::Any).unwrap_err();
    assert!(matches!(refused, SourceError::Denied { .. }), "{refused}");
    assert!(matches!(open(&closed.join("file"), &Opener::System, Kind::Any), Ok(Opened::File(_))));
    // A directory that can be entered and not listed gives no right to see what is in it.
    set_mode(&closed, 0o711);
    let refused = open(&closed, &person(), Kind::Directory).unwrap_err();
    assert!(matches!(refused, SourceError::Denied { .. }), "{refused}");
}

#[test]
fn a_link_on_the_way_of_a_person_is_told_and_not_followed() {
    let (place, home) = place();
    std::fs::create_dir(home.join("own")).unwrap();
    std::fs::write(home.join("own/file"), "x").unwrap();
    chown(home.join("own"), Some(UID), Some(GID)).unwrap();
    set_mode(&home.join("own/file"), 0o644);
    std::fs::write(place.path().join("secret"), "x").unwrap();
    set_mode(&place.path().join("secret"), 0o600);
    for (link, to) in [
        ("good", "own/file"),
        ("way", "own"),
        ("bad", "../secret"),
        ("dangling", "nowhere"),
        ("magic", "/proc/self/root"),
    ] {
        symlink(to, home.join(link)).unwrap();
        lchown(home.join(link), Some(UID), Some(GID)).unwrap();
        let told = open(&home.join(link), &person(), Kind::Any);
        assert!(matches!(&told, Ok(Opened::Symlink(said)) if said == to), "{told:?}");
    }
    let refused = open(&home.join("way/file"), &person(), Kind::Any).unwrap_err();
    assert!(matches!(&refused, SourceError::Link { link, .. } if link == "way"), "{refused}");
    assert!(open(&home.join("way"), &person(), Kind::Directory).is_err());
    // A link of root's, where only root makes some, is as good as a directory.
    let roots = place.path().join("roots");
    symlink(&home, &roots).unwrap();
    assert!(matches!(open(&roots.join("own/file"), &person(), Kind::Any), Ok(Opened::File(_))));
}

#[test]
fn behind_a_link_is_what_the_person_can_read() {
    let (place, home) = place();
    std::fs::write(home.join("file"), "x").unwrap();
    set_mode(&home.join("file"), 0o644);
    std::fs::write(place.path().join("secret"), "x").unwrap();
    set_mode(&place.path().join("secret"), 0o600);
    for (link, to) in
        [("good", "file"), ("bad", "../secret"), ("dangling", "nowhere"), ("magic", "/proc/self/root")]
    {
        symlink(to, home.join(link)).unwrap();
        lchown(home.join(link), Some(UID), Some(GID)).unwrap();
    }
    let Ok(Opened::File(fd)) = open(&home.join("good"), &person(), Kind::Behind) else { panic!() };
    assert_eq!(real_path(&fd).unwrap(), home.join("file").to_str().unwrap());
    assert!(matches!(open(&home.join("bad"), &person(), Kind::Behind), Err(SourceError::Denied { .. })));
    assert!(matches!(open(&home.join("dangling"), &person(), Kind::Behind), Ok(Opened::Missing)));
    assert!(open(&home.join("magic"), &person(), Kind::Behind).is_err());
}

#[test]
fn a_persons_rights_do_not_reach_into_processes_of_root() {
    for path in ["/proc/1/environ", "/proc/1/root/etc/passwd", "/proc/self/fd/0"] {
        assert!(open(Path::new(path), &person(), Kind::Behind).is_err(), "{path}");
        let opened = open(Path::new(path), &person(), Kind::Any);
        assert!(matches!(opened, Err(_) | Ok(Opened::Symlink(_))), "{path}: {opened:?}");
    }
    assert!(matches!(open(Path::new("/proc/1/environ"), &Opener::System, Kind::Any), Ok(Opened::File(_))));
}

#[test]
fn pipes_sockets_and_devices_are_refused_without_being_opened() {
    let (_place, home) = place();
    let pipe = home.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    set_mode(&pipe, 0o666);
    let socket = home.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for by in [person(), Opener::System] {
        for (path, word) in [(&pipe, "named pipe"), (&socket, "socket")] {
            let refused = open(path, &by, Kind::Any).unwrap_err();
            assert!(matches!(&refused, SourceError::Kind { found, .. } if *found == word), "{refused}");
        }
    }
    let null = Path::new("/dev/null");
    assert!(matches!(open(null, &person(), Kind::Any), Err(SourceError::Kind { .. })));
    assert!(matches!(open(null, &person(), Kind::CharDevice), Ok(Opened::CharDevice(_))));
    assert!(matches!(open(null, &Opener::System, Kind::CharDevice), Ok(Opened::CharDevice(_))));
    assert!(matches!(open(null, &Opener::System, Kind::Directory), Err(SourceError::Kind { .. })));
    assert!(matches!(open(&home, &Opener::System, Kind::CharDevice), Err(SourceError::Kind { .. })));
}

#[test]
fn a_link_of_the_systems_is_told_and_not_followed() {
    let (place, home) = place();
    symlink("usr/bin", place.path().join("bin")).unwrap();
    let opened = open(&place.path().join("bin"), &Opener::System, Kind::Any).unwrap();
    assert!(matches!(&opened, Opened::Symlink(to) if to == "usr/bin"), "{opened:?}");
    // A link that the person made leads nowhere for root.
    symlink("/etc", home.join("link")).unwrap();
    lchown(home.join("link"), Some(UID), Some(GID)).unwrap();
    let refused = open(&home.join("link/shadow"), &Opener::System, Kind::Any).unwrap_err();
    assert!(matches!(refused, SourceError::Link { .. }), "{refused}");
}

#[test]
fn paths_that_are_not_plain_are_refused() {
    for by in [person(), Opener::System] {
        for path in ["etc/passwd", "", "/etc/../etc/passwd", "/etc/pass\0wd"] {
            let refused = open_wanted(path, &by, Kind::Any).unwrap_err();
            assert!(matches!(refused, SourceError::Path { .. }), "{path:?}: {refused}");
        }
    }
}

#[test]
fn a_batch_answers_in_order_and_leaves_the_callers_rights_alone() {
    let (place, home) = place();
    let secret = place.path().join("new\nline");
    std::fs::write(&secret, "x").unwrap();
    set_mode(&secret, 0o600);
    let other = Opener::Person { uid: 77, gid: 77, groups: vec![] };
    set_mode(&home, 0o700);
    let request = |path: &Path, by: &Opener| Request {
        path: path.to_str().unwrap().to_owned(),
        by: by.clone(),
        kind: Kind::Any,
    };
    let answers = open_batch(&[
        request(&home, &person()),
        request(&secret, &Opener::System),
        request(&home, &other),
        request(&secret, &person()),
        request(&home.join("absent"), &person()),
    ]);
    assert!(
        matches!(
            answers.as_slice(),
            [
                Ok(Opened::Directory(_)),
                Ok(Opened::File(_)),
                Err(SourceError::Denied { uid: 77, .. }),
                Err(SourceError::Denied { uid: UID, .. }),
                Ok(Opened::Missing),
            ]
        ),
        "{answers:?}"
    );
    let message = answers[3].as_ref().unwrap_err().to_string();
    assert!(message.contains("new\\nline") && !message.contains('\n'), "{message}");
    assert!(std::fs::read(&secret).is_ok());
}

#[test]
fn what_was_removed_has_no_path() {
    let (_place, home) = place();
    let path = home.join("file");
    std::fs::write(&path, "x").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(real_path(&file), Err(SourceError::NoPath { .. })));
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    assert!(matches!(real_path(&pipe), Err(SourceError::NoPath { .. })));
}
