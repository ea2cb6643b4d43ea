//! The socket between supervisor and launcher.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::console::{ConsoleError, connect, listen};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

fn place() -> (tempfile::TempDir, OwnedFd) {
    let place = tempfile::tempdir().unwrap();
    let fd = std::fs::File::open(place.path()).unwrap().into();
    (place, fd)
}

#[test]
fn what_is_sent_before_the_launcher_accepts_arrives() {
    let (_place, dir) = place();
    let listener = UnixListener::from(listen(&dir).unwrap());
    UnixStream::from(connect(&dir).unwrap()).write_all(b"hello").unwrap();
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn a_launcher_that_takes_no_connection_is_not_waited_for() {
    let (_place, dir) = place();
    let listener = UnixListener::from(listen(&dir).unwrap());
    let (told, tells) = std::sync::mpsc::channel();
    let at_once = std::thread::spawn(move || {
        let mut waiting = Vec::new();
        let busy = loop {
            match connect(&dir) {
                Ok(connection) => waiting.push(connection),
                Err(error) => break error,
            }
            assert!(waiting.len() < 1000, "there is no end to those who wait");
        };
        told.send((busy.to_string(), matches!(busy, ConsoleError::Busy { .. }))).unwrap();
        (dir, waiting)
    });
    let (words, is_busy) = tells.recv_timeout(std::time::Duration::from_secs(20)).expect("it is waited for");
    assert!(is_busy && words.contains("console is busy"), "{words}");
    let (dir, mut waiting) = at_once.join().unwrap();
    // Those who wait are taken, and there is room for the next one.
    let mut taken = UnixStream::from(waiting.remove(0));
    drop(listener.accept().unwrap());
    assert_eq!(taken.read(&mut [0]).unwrap(), 0);
    assert!(connect(&dir).is_ok());
    // As any socket that is handed to a client.
    let flags = rustix::fs::fcntl_getfl(&waiting[0]).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn a_socket_of_an_earlier_attempt_is_replaced() {
    let (_place, dir) = place();
    drop(listen(&dir).unwrap());
    assert!(connect(&dir).is_err());
    let _listener = listen(&dir).unwrap();
    assert!(connect(&dir).is_ok());
}

#[test]
fn the_length_of_the_path_does_not_matter() {
    let (place, _dir) = place();
    let long = place.path().join("x".repeat(200));
    std::fs::create_dir(&long).unwrap();
    let dir: OwnedFd = std::fs::File::open(&long).unwrap().into();
    let _listener = listen(&dir).unwrap();
    assert!(connect(&dir).is_ok());
}

#[test]
fn a_link_a_file_or_a_socket_of_others_is_neither_connected_to_nor_replaced() {
    let (place, dir) = place();
    let (_other_place, other) = place_of_another();
    let console = place.path().join("console");
    let both_refuse = |word: &str| {
        for refused in [connect(&dir), listen(&dir)] {
            let error = refused.unwrap_err();
            assert!(matches!(&error, ConsoleError::NotOurs { found, .. } if *found == word), "{error}");
        }
    };
    symlink(&other, &console).unwrap();
    both_refuse("symbolic link");
    std::fs::remove_file(&console).unwrap();
    std::fs::write(&console, "x").unwrap();
    both_refuse("file");
    assert_eq!(std::fs::read(&console).unwrap(), b"x");
    std::fs::remove_file(&console).unwrap();
    let _listener = UnixListener::bind(&console).unwrap();
    chown(&console, Some(1234), None).unwrap();
    both_refuse("socket");
}

fn place_of_another() -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    (place, path)
}

#[test]
fn without_a_socket_there_is_no_connection() {
    let (_place, dir) = place();
    let error = connect(&dir).unwrap_err();
    assert!(matches!(&error, ConsoleError::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound));
}
