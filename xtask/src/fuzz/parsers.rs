//! Which files read bytes that somebody else wrote, and what throws such bytes at them.

/// By what a parser is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    /// A target of fuzz/targets.
    Target(&'static str),
    /// A test that makes the bytes itself: where nothing but root's own files is read, or the target would link half of a
    /// program.
    Test(&'static str),
}

use Held::{Target, Test};

/// Files below crates/ by what holds them. One that has a function for reading bytes or text and is not here is found by
/// `every_parser_is_thrown_at`.
pub(crate) const PARSERS: &[(&str, Held)] = &[
    ("agentbox-gate/src/dns/message.rs", Target("dns_question")),
    ("agentbox-gate/src/http", Target("http_requests")),
    ("agentbox-gate/src/keys", Target("agent_requests")),
    ("agentbox-gate/src/resolve", Target("dns_answer")),
    ("agentbox-gate/src/tls", Target("client_hello")),
    ("agentbox-kernel/src/guard/event.rs", Target("kernel_answers")),
    ("agentbox-kernel/src/lease.rs", Test("every_changed_or_missing_byte_is_seen")),
    ("agentbox-kernel/src/mountinfo.rs", Target("kernel_answers")),
    ("agentbox-kernel/src/netlink/message.rs", Target("kernel_answers")),
    ("agentbox-launch/src/console/filter.rs", Target("terminal_output")),
    ("agentbox-launch/src/console/sequence.rs", Target("terminal_output")),
    ("agentbox-look/src/git/config.rs", Target("git_files")),
    ("agentbox-look/src/git/index.rs", Target("git_files")),
    ("agentbox-plan/src/console.rs", Target("console_frames")),
    ("agentbox-plan/src/gate.rs", Target("gate_messages")),
    ("agentbox-plan/src/glob.rs", Target("spelling")),
    ("agentbox-plan/src/keys", Target("session_messages")),
    ("agentbox-plan/src/look", Target("session_messages")),
    ("agentbox-plan/src/net", Target("rules")),
    ("agentbox-plan/src/plan.rs", Target("plan")),
    ("agentbox-plan/src/session.rs", Target("spelling")),
    ("agentbox-policy/src/config", Target("configuration")),
    ("agentbox-policy/src/lattice/mod.rs", Target("configuration")),
    ("agentboxctl/src/git.rs", Test("the_last_good_value_counts")),
    (
        "agentboxctl/src/inspect/repository.rs",
        Test("remotes_are_read_in_every_spelling_and_without_what_may_be_a_secret"),
    ),
    ("agentboxctl/src/layers.rs", Test("a_file_of_fifty_megabytes_is_refused")),
    ("agentboxctl/src/output/units.rs", Test("durations_have_a_number_and_a_unit")),
    ("agentboxd/src/audit/anchors.rs", Test("entries_that_are_no_heads_are_passed_over")),
    ("agentboxd/src/audit/chain.rs", Test("every_changed_byte_is_seen")),
    ("agentboxd/src/ledger.rs", Test("what_cannot_be_understood_is_an_error_with_its_line")),
    ("agentboxd/src/network/resolvers.rs", Test("what_libc_takes_is_taken")),
];
