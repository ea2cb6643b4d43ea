//! Mutants of `agentboxd`: what polkit is asked, and what its answer is taken for; what a peer of the embedded supervisor
//! may have of it; what the trail tells of a network. Who may call what, and of whose things, is left out by
//! `mutation_daemon` of the suite, with the supervisor as a whole.

use super::{Mutant, Row, of};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = of("system/polkit.rs", POLKIT);
    all.extend(of("caller.rs", CALLER));
    all.extend(of("embedded/admission.rs", ADMISSION));
    all.extend(of("embedded/socket.rs", SOCKET));
    all.extend(of("start.rs", START));
    all.extend(of("waits.rs", WAITS));
    all.extend(of("calls.rs", CALLS));
    all.extend(of("profiles.rs", PROFILES));
    all.extend(of("layers.rs", LAYERS));
    all.extend(of("audit/chain.rs", CHAIN));
    all.extend(of("workspace/reports.rs", REPORTS));
    all.extend(of("workspace/told.rs", TOLD));
    all.extend(of("supervisor.rs", SUPERVISOR));
    all.extend(of("neighbours.rs", NEIGHBOURS));
    all.extend(of("network/decisions.rs", DECISIONS));
    all.extend(of("network/lines.rs", LINES));
    all.extend(of("network/session.rs", SESSION));
    all.extend(of("network/gate.rs", GATE));
    all.extend(of("network/host.rs", HOST));
    all.extend(of("keys/gate.rs", KEYS));
    all.extend(of("network/totals.rs", TOTALS));
    all
}

const YES: &str = "nothing_but_a_yes_about_who_calls_is_a_yes";
const ROOT: &str = "root_needs_no_consent_and_without_a_bus_nobody_gives_it";
const STRANGERS: &str = "who_may_use_nothing_has_a_few_connections_under_however_many_ids";
const MEMBERS: &str = "who_may_use_it_takes_neither_their_neighbours_place_nor_roots";
const HANDSHAKE: &str = "what_is_no_handshake_ends_the_connection_and_nothing_else";
const LARGE: &str = "a_message_larger_than_any_request_ends_the_connection_before_there_is_room_for_it";
const ONE_BY_ONE: &str = "descriptors_that_come_one_by_one_are_not_collected";
const ONE_MORE: &str = "an_owner_has_no_more_sessions_than_there_may_be_and_a_layer_one";
const IN_HAND: &str = "one_user_has_so_much_in_hand_and_takes_nothing_from_others";
const READERS: &str = "answers_of_the_trail_that_nobody_takes_keep_others_of_that_user_only";
const UNTAKEN: &str = "who_takes_no_answers_is_heard_no_more_and_seen_to_leave";
const FOR_EVER: &str = "who_waits_for_ever_is_told_of_the_path_and_keeps_nobody_else";
const GOING: &str = "nothing_begins_with_what_is_being_removed";

const FOUND: &str = "no_event_is_too_long_to_be_found";
const SHORTENED: &str = "what_is_too_long_is_shortened_and_the_rest_stays";
const MUCH: &str = "however_much_an_agent_leaves_there_is_a_report_that_begins_with_it_and_counts_the_rest";
const NO_ABSENCE: &str = "what_an_earlier_version_wrote_is_read_and_what_cannot_be_is_no_absence";
const NOBODY_ELSES: &str = "nobody_elses_reports_make_room_and_the_oldest_go";

#[rustfmt::skip]
const CHAIN: &[Row] = &[
    ("trail: a line of any length", "«body.len() + TAIL_BYTES <= MAX_LINE_BYTES»", "true", FOUND),
    ("trail: what is too long is not shortened first", "«marked(bounds.of(&event))»", "marked(kept(&event))", SHORTENED),
];

#[rustfmt::skip]
const REPORTS: &[Row] = &[
    ("report: paths of any length", "«text.len() <= MAX_TEXT_BYTES»", "true", MUCH),
    ("report: what does not fit is not counted", "«report.more.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX))»", "report.more", MUCH),
    ("report: what is too large is not there", "directory::read_file(reports, id.as_str(), MAX_READ_BYTES)?", "directory::read_file(reports, id.as_str(), MAX_READ_BYTES).ok().flatten()", NO_ABSENCE),
    ("report: those of all owners make room", "«owner_in(reports, name) == Some(owner_uid)»", "true", NOBODY_ELSES),
];

const FOR_EVER_PUT_BACK: &str = "who_has_it_put_back_for_ever_fills_no_trail";

#[rustfmt::skip]
const SUPERVISOR: &[Row] = &[
    ("lease: what sessions have is free", "«in_use.contains(&id)» || person::uid_known(id)", "false", "a_block_of_ids_is_in_use_as_a_whole_whoever_the_agent_runs_as"),
];

const STRANGER: &str = "a_stranger_who_cannot_enter_the_project_has_no_part_in_it";

#[rustfmt::skip]
const NEIGHBOURS: &[Row] = &[
    ("neighbours: everybody on the path", "&& «!apart.0.contains(other.id())»", "true", STRANGER),
    ("neighbours: the word of others", "trifecta: «Trifecta::Warn» }\n}", "neighbour.trifecta", STRANGER),
    ("neighbours: the outer directory is entered", "if «Path::new(mine.0).starts_with(theirs.0)»", "Path::new(theirs.0).starts_with(mine.0)", STRANGER),
];

#[rustfmt::skip]
const TOLD: &[Row] = &[
    ("put back: an event for each judgement for ever", "«self.put_back >= MAX_PUT_BACK»", "false", FOR_EVER_PUT_BACK),
    ("put back: the count is told each time", "«now.duration_since(counted) >= COUNTED»", "true", FOR_EVER_PUT_BACK),
    ("put back: all keys are named", "others.iter().take(«MAX_OTHERS»)", "usize::MAX", "a_judgement_is_one_event_that_names_the_first_keys"),
    ("watch: sight is lost for ever", "«self.lost <= MAX_LOST»", "true", "a_watch_that_loses_sight_for_ever_fills_no_trail"),
];

#[rustfmt::skip]
const POLKIT: &[Row] = &[
    ("polkit: no answer is a yes", "action.id());\n                «false»", "true", YES),
    ("polkit: every answer is a yes", "Ok((is_authorized, _, _)) => «is_authorized»", "true", YES),
    ("polkit: it is asked about somebody else", "self.name.as_str()", "\":1.0\"", YES),
    ("polkit: it is asked for another action", "«action.id()», &details", "Action::Inspect.id()", YES),
    ("polkit: who cannot be asked is asked", "if self.interactive { INTERACTION } else { 0 }", "INTERACTION", YES),
];

#[rustfmt::skip]
const CALLER: &[Row] = &[
    ("consent: root is asked", "_ if «self.is_root()» => true", "false", ROOT),
    ("consent: everybody is root", "_ if «self.is_root()» => true", "true", ROOT),
    ("calls: counted for somebody else", "calls.begin(«self.uid»)", "1", "a_call_above_those_that_a_user_may_have_in_hand_is_refused_in_words"),
    ("calls: who waits outlives the connection", "return «connection.closed().await»", "std::future::pending::<()>().await", "calls_that_wait_end_with_the_connection_they_came_on"),
    ("consent: without a bus everybody has it", "None => «false»,\n        }\n    }", "true", ROOT),
];

#[rustfmt::skip]
const ADMISSION: &[Row] = &[
    ("connections: however many strangers", "«counts.values().sum::<usize>()» >= of_all", "0_usize", STRANGERS),
    ("connections: however many of one", "«*count < of_one»", "true", MEMBERS),
    ("connections: root waits for others", "«uid != 0» &&", "true", MEMBERS),
    ("connections: strangers count as others", "if «may» { &mut self.admitted }", "true", STRANGERS),
];

#[rustfmt::skip]
const SOCKET: &[Row] = &[
    ("handshake: an empty line", "«is_bare_line_feed» ||", "false", HANDSHAKE),
    ("handshake: however long", "«self.handshake_bytes > MAX_HANDSHAKE_BYTES»", "false", HANDSHAKE),
    ("message: however large", "«bytes <= self.max_bytes»", "true", LARGE),
    ("answers: however many that nobody takes", "Semaphore::new(«MAX_UNANSWERED»)", "1000", UNTAKEN),
    ("answers: who has left is waited for", "if «is_gone(&self.incoming.stream)?» =>", "false", UNTAKEN),
    ("answers: what is taken is not counted", "add_permits(«1»)", "0", UNTAKEN),
    ("message: however many descriptors", "«self.descriptors_received > MAX_DESCRIPTORS»", "false", ONE_BY_ONE),
];

#[rustfmt::skip]
const START: &[Row] = &[
    ("sessions: one more than there may be", "«mine < MAX_SESSIONS»", "mine <= MAX_SESSIONS", ONE_MORE),
    ("sessions: those of others count", "«session.record.owner_uid == owner_uid»).count()", "true", ONE_MORE),
];

#[rustfmt::skip]
const WAITS: &[Row] = &[
    ("paths: however many threads", "Self::of_each(«MAX_THREADS»)", "100", FOR_EVER),
    ("paths: all wait for one", "all.entry(«uid»)", "0", FOR_EVER),
];

#[rustfmt::skip]
const CALLS: &[Row] = &[
    ("calls: however many", "Waits::of_each(«MAX_CALLS»)", "1000", IN_HAND),
    ("calls: however many that wait", "Waits::of_each(«MAX_WAITING»)", "1000", IN_HAND),
    ("trail: however many answers", "Waits::of_each(«MAX_READERS»)", "1000", READERS),
    ("trail: however many threads", "Semaphore::new(«MAX_READING»)", "1000", "the_trail_is_read_by_a_few_threads_however_many_ask"),
];

#[rustfmt::skip]
const PROFILES: &[Row] = &[
    ("removal: a start with a state that goes", "if !«supervisor.removals.contains(&state_of(owner_uid, profile))» {", "false", GOING),
];

#[rustfmt::skip]
const LAYERS: &[Row] = &[
    ("removal: a start on a layer that goes", "None if «supervisor.removals.contains(id.as_str())» =>", "false", GOING),
];

#[rustfmt::skip]
const DECISIONS: &[Row] = &[
    ("trail: refusals take the room of what was allowed", "if is_refusal { &mut self.refused } else { &mut self.allowed }", "&mut self.refused", "what_may_still_be_reached_is_what_there_are_lines_for"),
    ("trail: what was allowed is not told apart", "if «is_refusal» {\n            let has_line", "true", "no_flood_hides_what_was_allowed"),
    ("trail: refusals have any number of lines", "self.lines_of_refused.take(now)", "true", "refusals_of_ever_other_names_become_one_line_in_ten_seconds"),
    ("trail: refusals for want of a line are told apart", "!open.keys().any(T::stands_for_all)", "true", "that_there_was_no_line_is_one_line_in_ten_seconds_and_always_told"),
    ("trail: what is counted already needs a line", "self.allowed.keys().any(is_same)", "false", "what_may_still_be_reached_is_what_there_are_lines_for"),
    ("trail: there is a line for everything", "self.lines_of_allowed.are_left(now)", "true", "what_may_still_be_reached_is_what_there_are_lines_for"),
    ("trail: few lines are no reason to count for longer", "if «is_scarce» { LONG_WINDOW }", "false", "a_few_hundred_places_can_be_reached_for_ever"),
];

#[rustfmt::skip]
const LINES: &[Row] = &[
    ("lines: as many as there were", "MOST.min(self.left.saturating_add(more.into()))", "self.left.saturating_add(more.into())", "there_are_many_at_once_and_few_for_ever"),
    ("lines: what is owed is forgotten", "self.left(now) > 0", "true", "what_is_owed_is_written_first"),
];

#[rustfmt::skip]
const SESSION: &[Row] = &[
    ("places: however many", "if «has_line» { Ok(()) }", "true", "a_gate_that_tells_of_more_than_it_can_have_reached_is_given_up"),
    ("places: all ports are one", "open.destination == *to && «open.port == port»", "true", "a_gate_that_tells_of_more_than_it_can_have_reached_is_given_up"),
    ("gate: it tells what it likes", "changing.decisions.owed(now) > MAX_CONNECTIONS.into()", "false", "a_gate_that_tells_of_more_than_it_can_have_reached_is_given_up"),
];

#[rustfmt::skip]
const GATE: &[Row] = &[
    ("gate: what it fails of is told whenever it says so", "return «Err(GateError::Failed(what))»", "Ok(())", "a_gate_that_fails_says_so_once"),
    ("gate: a session that runs is told of as one that starts", "self.ready.is_some()", "true", "a_gate_that_fails_says_so_once"),
    ("gate: it reads whenever it likes", "timeout(«SAY_LIMIT», said)", "IT * 1000", "a_gate_that_does_not_read_is_given_up"),
    ("next to the machine: a rule that grants it", "(!rules.grants_internal(destination, port, address)).then_some(reason)", "Some(reason)", "what_is_next_to_the_machine_is_not_said_to_be_allowed"),
    ("next to the machine: without a rule that grants it", "(!rules.grants_internal(destination, port, address)).then_some(reason)", "None", "what_is_next_to_the_machine_is_not_said_to_be_allowed"),
];

#[rustfmt::skip]
const HOST: &[Row] = &[
    ("cut: a table that is written anew has the grant", "recent.retain(|(_, grant)| grants.binary_search(grant).is_err())", "()", "what_is_denied_loses_its_grant_and_nothing_else_does"),
];

#[rustfmt::skip]
const KEYS: &[Row] = &[
    ("gate of keys: what it fails of is told whenever it says so", "return «Err(GateError::Failed(what))»", "Ok(None)", "a_gate_of_keys_that_fails_says_so_once"),
    ("gate of keys: a session that runs is told of as one that starts", "self.ready.is_some()", "true", "a_gate_of_keys_that_fails_says_so_once"),
];

#[rustfmt::skip]
const TOTALS: &[Row] = &[
    ("totals: refusals have any number of places", "self.refused.len() < MAX_REFUSED", "true", "no_number_of_refusals_hides_where_bytes_went"),
    ("totals: destinations have any number of places", "self.reached.len() > MAX_REACHED", "false", "of_too_many_destinations_those_with_the_fewest_bytes_are_told_together"),
];
