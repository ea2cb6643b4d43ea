//! Leases across restarts and with damaged files.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::lease::{Lease, LeaseError, Leases, Range};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

const RANGE: Range = Range { first: 2_000_000_000, count: 4096 };

struct State {
    _place: tempfile::TempDir,
    fd: OwnedFd,
    runtime: OwnedFd,
    runtime_file: PathBuf,
    file: PathBuf,
}

fn state() -> State {
    let place = tempfile::tempdir().unwrap();
    let below = |name: &str| {
        let path = place.path().join(name);
        std::fs::create_dir(&path).unwrap();
        (OwnedFd::from(std::fs::File::open(&path).unwrap()), path.join("leases"))
    };
    let ((fd, file), (runtime, runtime_file)) = (below("state"), below("runtime"));
    State { fd, runtime, runtime_file, file, _place: place }
}

fn nobody(_: u32) -> bool {
    false
}

#[test]
fn no_block_is_given_out_twice_across_restarts() {
    let state = state();
    let mut seen = HashSet::new();
    for restart in 0..5 {
        let mut leases = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
        for _ in 0..(restart * 40 + 1) {
            let lease = leases.take(&nobody).unwrap();
            assert!(lease.ids().all(|id| RANGE.contains(id) && seen.insert(id)), "{lease:?}");
        }
    }
}

#[test]
fn the_mark_is_on_disk_before_a_block_is_given_out() {
    let state = state();
    let mut first = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    let given = first.take(&nobody).unwrap();
    // After a crash of the host, with which RUNTIME is gone.
    std::fs::remove_file(&state.runtime_file).unwrap();
    let mut second = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    let next = second.take(&nobody).unwrap();
    assert!(next.first >= given.first + 64 * 4, "{given:?} {next:?}");
}

#[test]
fn the_next_supervisor_of_the_same_boot_goes_on_in_the_same_chunk() {
    let state = state();
    let take = || Leases::open(&state.fd, &state.runtime, RANGE).unwrap().take(&nobody).unwrap().first;
    let taken: Vec<u32> = (0..70).map(|_| take()).collect();
    let expected: Vec<u32> = (0..70).map(|block| RANGE.first + 4 * block).collect();
    assert_eq!(taken, expected);
}

#[test]
fn what_runtime_says_is_believed_only_within_the_chunk_on_disk() {
    let state = state();
    let mut leases = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    leases.take(&nobody).unwrap();
    let early = std::fs::read(&state.runtime_file).unwrap();
    for _ in 0..70 {
        leases.take(&nobody).unwrap();
    }
    for bad in [&early[..], b"", b"nonsense", &[0xff; 4000]] {
        std::fs::write(&state.runtime_file, bad).unwrap();
        let next = Leases::open(&state.fd, &state.runtime, RANGE).unwrap().take(&nobody).unwrap();
        assert!(next.first >= RANGE.first + 4 * 128, "{next:?} after {bad:?}");
    }
}

#[test]
fn a_block_of_which_one_id_is_known_is_skipped() {
    let state = state();
    let mut leases = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    let lease = leases.take(&|id| id == RANGE.first + 3).unwrap();
    assert_eq!(lease, Lease { first: RANGE.first + 4 });
    assert_eq!((lease.agent(), lease.console()), (RANGE.first + 4, RANGE.first + 5));
}

#[test]
fn a_range_that_is_taken_whole_is_an_error_and_not_a_loop() {
    let state = state();
    let mut leases = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    assert!(matches!(leases.take(&|_| true), Err(LeaseError::Taken { skipped: 1024 })));
}

#[test]
fn after_the_end_of_the_range_it_begins_again() {
    let state = state();
    let small = Range { first: 5000, count: 11 };
    let mut leases = Leases::open(&state.fd, &state.runtime, small).unwrap();
    let taken: Vec<u32> = (0..5).map(|_| leases.take(&nobody).unwrap().first).collect();
    assert_eq!(taken, [5000, 5004, 5000, 5004, 5000]);
    assert!(leases.contains(5010) && !leases.contains(5011));
}

#[test]
fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let state = state();
    Leases::open(&state.fd, &state.runtime, RANGE).unwrap().take(&nobody).unwrap();
    let good = std::fs::read(&state.file).unwrap();
    let mut changed = good.clone();
    changed[20] ^= 4;
    let long = vec![b'x'; 5000];
    for bad in [&b""[..], &good[..good.len() / 2], &changed, &long, b"\xff\xfe"] {
        std::fs::write(&state.file, bad).unwrap();
        let error = Leases::open(&state.fd, &state.runtime, RANGE).unwrap_err();
        assert!(matches!(error, LeaseError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("damaged"));
        assert_eq!(std::fs::read(&state.file).unwrap(), bad);
    }
    std::fs::write(&state.file, good).unwrap();
    assert!(Leases::open(&state.fd, &state.runtime, RANGE).is_ok());
}

#[test]
fn a_file_of_another_range_is_an_error_that_names_both() {
    let state = state();
    Leases::open(&state.fd, &state.runtime, RANGE).unwrap().take(&nobody).unwrap();
    let before = std::fs::read(&state.file).unwrap();
    let error = Leases::open(&state.fd, &state.runtime, Range { first: 3000, count: 400 }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("2000000000+4096") && text.contains("3000+400"), "{text}");
    assert_eq!(std::fs::read(&state.file).unwrap(), before);
}

#[test]
fn a_link_in_the_place_of_the_file_is_refused() {
    let state = state();
    std::os::unix::fs::symlink("/etc/passwd", &state.file).unwrap();
    assert!(matches!(Leases::open(&state.fd, &state.runtime, RANGE), Err(LeaseError::File(_))));
}

#[test]
fn when_the_mark_cannot_be_saved_no_block_is_given_out() {
    let state = state();
    let mut leases = Leases::open(&state.fd, &state.runtime, RANGE).unwrap();
    // A directory with a file in it cannot be replaced by a file.
    std::fs::create_dir_all(state.file.join("in the way")).unwrap();
    assert!(matches!(leases.take(&nobody), Err(LeaseError::File(_))));
    std::fs::remove_dir(state.file.join("in the way")).unwrap();
    std::fs::remove_dir(&state.file).unwrap();
    assert_eq!(leases.take(&nobody).unwrap(), Lease { first: RANGE.first });
}
