//! Git's own files of a project, as a session left them.
#![no_main]

use agentbox_look::fuzzing::pointers;
use agentbox_look::git::index;
use agentbox_plan::git_config;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

fuzz_target!(|bytes: &[u8]| {
    let all = git_config::read_all(bytes);
    if let Ok(entries) = git_config::parse(bytes) {
        // Who looks out for something misses nothing of it.
        assert_eq!(all, entries);
        // What is put back says the same.
        let written = git_config::write(&entries);
        assert_eq!(git_config::parse(&written).as_ref(), Ok(&entries), "{}", written.escape_ascii());
        let names = entries.iter().map(git_config::Entry::name);
        names.for_each(|name| assert!(!name.contains(char::is_control), "{name:?}"));
    }
    let wanted: BTreeSet<Vec<u8>> = [b"Makefile".to_vec(), b".envrc".to_vec()].into();
    for hash_bytes in [20, 32] {
        if let Ok(tracked) = index::look(bytes, hash_bytes, &wanted) {
            assert!(tracked.found.is_subset(&wanted));
        }
    }
    pointers(bytes);
    assert!(git_config::escaped(bytes).bytes().all(|byte| !byte.is_ascii_control()));
});
