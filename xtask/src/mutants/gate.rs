//! Mutants of `agentbox-gate`: every refusal and every limit of what a session meets: its budget, names, connections,
//! TLS, HTTP, answers of resolvers, and signatures with the person's keys.

use super::{Mutant, Row, of};

pub(super) fn mutants() -> Vec<Mutant> {
    const FILES: &[(&str, &[Row])] = &[
        ("budget.rs", BUDGET),
        ("names/place.rs", PLACE),
        ("names/table.rs", NAMES),
        ("dns/frame.rs", FRAME),
        ("dns/message.rs", MESSAGE),
        ("dns/reply.rs", REPLY),
        ("dns/server.rs", SERVER),
        ("dns/tcp.rs", TCP),
        ("resolve/answer.rs", ANSWER),
        ("resolve/exchange.rs", EXCHANGE),
        ("resolve/finding.rs", FINDING),
        ("resolve/lookup.rs", LOOKUP),
        ("resolve/mod.rs", RESOLVE),
        ("resolve/places.rs", PLACES),
        ("relay/claim.rs", CLAIM),
        ("relay/connection.rs", CONNECTION),
        ("relay/exchange.rs", RELAYED),
        ("relay/first.rs", FIRST),
        ("relay/flows.rs", FLOWS),
        ("relay/heard.rs", HEARD),
        ("relay/mod.rs", RELAY),
        ("relay/pump.rs", PUMP),
        ("tls/extensions.rs", EXTENSIONS),
        ("tls/skim.rs", SKIM),
        ("http/head.rs", HEAD),
        ("http/lines.rs", LINES),
        ("http/requests.rs", REQUESTS),
        ("http/upgrade.rs", UPGRADE),
        ("keys/answer.rs", TOLD),
        ("keys/bind.rs", BIND),
        ("keys/client.rs", KEYS_CLIENT),
        ("keys/frame.rs", KEYS_FRAME),
        ("keys/judge.rs", JUDGE),
        ("keys/purpose.rs", PURPOSE),
        ("keys/read.rs", READ),
        ("keys/serve.rs", KEYS_SERVE),
        ("keys/verify.rs", VERIFY),
        ("link.rs", LINK),
    ];
    FILES.iter().flat_map(|(file, rows)| of(file, rows)).collect()
}

#[rustfmt::skip]
const BUDGET: &[Row] = &[
    ("the session's budget", "session == 0", "false", "the_smaller_of_both_limits_holds"),
    ("a name's budget", "max.saturating_sub(sent)", "u64::MAX", "the_smaller_of_both_limits_holds"),
    ("a name's budget counts, and the session's does not", "left.min(session)", "left", "the_smaller_of_both_limits_holds"),
    ("the number of destinations that are counted", "self.sent.len() >= MAX_DESTINATIONS", "false", "the_number_of_destinations_is_bounded"),
    ("what was sent before", "budget.spend(destination, *sent)", "()", "what_was_sent_before_counts"),
    ("what was sent before and is not told apart", "budget.session_sent.max(in_all)", "budget.session_sent", "what_was_sent_before_counts"),
    ("what is sent is counted for the session", "self.session_sent = «self.session_sent.saturating_add(bytes)»", "self.session_sent", "the_smaller_of_both_limits_holds"),
    ("what is sent is counted for its name", "*sent = «sent.saturating_add(bytes)»", "*sent", "every_part_of_what_is_sent_counts"),
    ("a first byte is counted for its name", "_ = self.sent.insert(destination.clone(), bytes)", "()", "the_smaller_of_both_limits_holds"),
    ("bytes that are more than are left", "bytes > 0 && self.left(destination)? < bytes", "false", "every_part_of_what_is_sent_counts"),
    ("which budget it was", "self.session_sent.saturating_add(bytes) <= max", "true", "every_part_of_what_is_sent_counts"),
];

#[rustfmt::skip]
const PLACE: &[Row] = &[
    ("an address outside of both ranges has a place", "_ if «!is_synthetic(address)»", "false", "what_stands_for_no_name_has_no_place"),
    ("the gate's own addresses have a place", "*place == Self::HOST || (Self::FIRST..=Self::LAST).contains(place)", "true", "what_stands_for_no_name_has_no_place"),
    ("the places of one range", "v4.contains(address) || v6.contains(address)", "v4.contains(address)", "a_place_has_one_address_of_each_family"),
];

#[rustfmt::skip]
const NAMES: &[Row] = &[
    ("names: the limit of each class", "room.count < room.limit", "true", "the_name_that_was_not_used_for_the_longest_time_goes_first"),
    ("names: who is refused takes the room of who is allowed", "Class::Refused => «&mut self.refused»", "&mut self.allowed", "a_connection_keeps_the_address_for_its_name"),
    ("names: a place in use is given away", "«self.room(class).idle.remove(&used)»;\n        true", "None", "without_room_there_is_no_place"),
    ("names: every gate begins at the first place", "next: «start»", "Place::FIRST", "every_gate_gives_other_addresses"),
    ("names: a place that another has", "self.entries.contains_key(&place)", "false", "a_place_that_is_held_is_passed_over_when_all_others_were_given"),
    ("names: a lost place is given again at once", "«self.next = place.next()»;", "()", "a_lost_place_is_given_again_only_after_all_others"),
    ("names: the last of two connections", "«entry.holds == 0» {\n            let", "true", "without_room_there_is_no_place"),
];

#[rustfmt::skip]
const FRAME: &[Row] = &[
    ("DNS: bytes of a message on a stream", "length > most", "false", "dns::frame::tests::what_is_longer_than_allowed_is_not_read"),
    ("DNS: a stream that ends within a message", "0 if «filled == 0»", "true", "a_message_that_comes_in_pieces_is_put_together"),
];

#[rustfmt::skip]
const MESSAGE: &[Row] = &[
    ("DNS: an answer is a question", "flags.qr()", "false", "what_is_no_request_gets_no_answer"),
    ("DNS: other requests than questions", "flags.opcode() != Opcode::QUERY", "false", "what_is_no_request_gets_no_answer"),
    ("DNS: one question and nothing beside it", "(counts.qdcount(), counts.ancount(), counts.nscount()) != (1, 0, 0)", "false", "what_is_no_single_plain_question_is_malformed"),
    ("DNS: records behind the one of EDNS", "counts.arcount() > 1", "false", "what_is_no_single_plain_question_is_malformed"),
    ("DNS: a name that points elsewhere", "«!is_plain» ||", "false", "what_is_no_single_plain_question_is_malformed"),
    ("DNS: bytes behind the question", "parser.remaining() != 0", "false", "what_is_no_single_plain_question_is_malformed"),
    ("DNS: EDNS with a name", "record.rtype() != Rtype::OPT || !record.owner().is_root()", "record.rtype() != Rtype::OPT", "edns_is_read_and_its_options_are_tolerated"),
    ("DNS: a dot within a label", "label.contains(&b'.')", "false", "a_name_that_only_looks_like_one_of_a_host_is_none"),
];

#[rustfmt::skip]
const REPLY: &[Row] = &[
    ("DNS: bytes of a datagram", "usize::from(edns.size).clamp(PLAIN_DATAGRAM, DATAGRAM)", "usize::from(edns.size)", "the_longest_answer_fits_into_the_smallest_datagram"),
    ("DNS: an address of the other family", "Outcome::Address(address) if «fits_kind(question.kind, address)»", "true", "an_address_of_the_other_family_is_no_answer"),
    ("DNS: another version of EDNS", "question.edns.is_some_and(|edns| edns.version != 0)", "false", "another_version_of_edns_is_refused_by_its_own_code"),
    ("DNS: bytes of an answer", "out.len() <= limit", "true", "what_does_not_fit_is_cut_and_says_so"),
    ("DNS: bytes of an answer without records", "out.len() > limit", "false", "what_does_not_fit_is_cut_and_says_so"),
];

#[rustfmt::skip]
const SERVER: &[Row] = &[
    ("DNS: questions that wait at once", "self.waiting.get() >= WAITING", "false", "only_so_many_questions_wait_for_resolvers"),
    ("DNS: who has waited makes room", "self.server.waiting.get() - 1", "self.server.waiting.get()", "only_so_many_questions_wait_for_resolvers"),
    ("DNS: questions for no address", "wanted != Kind::Other", "true", "only_addresses_are_answered"),
    ("DNS: `.onion` is asked for", "Special::Never => «return Step::Answer(OWN_NETWORK)»", "Standing::Public", "special_names_are_never_asked_for"),
    ("DNS: names of the own network are asked for", "special == Special::OwnNetwork && !has_rule", "false", "a_rule_makes_names_of_the_own_network_names"),
    ("DNS: a rule for a name of the own network is none", "special == Special::OwnNetwork && !has_rule", "special == Special::OwnNetwork", "a_rule_makes_names_of_the_own_network_names"),
    ("DNS: IPv6 in a session without", "Kind::Aaaa => «self.ipv6»", "true", "a_session_without_ipv6_has_no_ipv6_addresses"),
    ("DNS: services are addresses", "«!is_address» {", "false", "a_session_without_ipv6_has_no_ipv6_addresses"),
    ("DNS: a name that is refused takes an allowed one's place", "«self.names.place_of(&name, Class::Refused)»", "self.names.place_of(&name, Class::Allowed)", "names_that_are_refused_take_neither_a_place_nor_memory_without_end"),
    ("DNS: rules of before", "!Rc::ptr_eq(of_rules, &rules)", "false", "other_rules_hold_at_once"),
    ("DNS: names of which is remembered how they stand", "known.len() >= STANDINGS", "false", "names_that_are_refused_take_neither_a_place_nor_memory_without_end"),
    ("DNS: refused names that are reported", "count < REPORTS", "true", "names_that_are_made_up_by_the_thousand_are_not_all_reported"),
];

#[rustfmt::skip]
const TCP: &[Row] = &[
    ("DNS: streams at once", "count.get() >= CONNECTIONS", "false", "a_stream_is_let_go_when_there_are_too_many_or_when_it_says_nothing"),
    ("DNS: a stream that says nothing", "timeout(IDLE, read_frame(&stream, QUESTION))", "timeout(IDLE * 1000, read_frame(&stream, QUESTION))", "a_stream_is_let_go_when_there_are_too_many_or_when_it_says_nothing"),
    ("DNS: a stream's place is free again", "self.0.get() - 1", "self.0.get()", "a_stream_is_let_go_when_there_are_too_many_or_when_it_says_nothing"),
];

#[rustfmt::skip]
const ANSWER: &[Row] = &[
    ("resolver: a question is an answer", "!header.qr() || header.id() != asked.id || header.opcode() != Opcode::QUERY", "header.id() != asked.id || header.opcode() != Opcode::QUERY", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an answer with another id", "!header.qr() || header.id() != asked.id || header.opcode() != Opcode::QUERY", "!header.qr() || header.opcode() != Opcode::QUERY", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an answer to another request", "!header.qr() || header.id() != asked.id || header.opcode() != Opcode::QUERY", "!header.qr() || header.id() != asked.id", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an answer about another type", "question.qtype() != asked.family.rtype()", "false", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an answer about another class", "question.qclass() != Class::IN", "false", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an answer about another name", "!question.qname().name_eq(&asked.name)", "false", "what_belongs_to_another_question_is_a_stray"),
    ("resolver: an error is an answer", "«!is_answer» {\n        return Err(AnswerError::Code(code.to_int()));\n    }\n    if header.tc()", "false", "nothing_is_told_from_no_such_name"),
    ("resolver: a part of an answer is one", "header.tc()", "false", "a_truncated_answer_is_not_read"),
    ("resolver: addresses of other names", "|(owner, ..)| «owner.name_eq(&last)»);\n    let mut addresses", "true", "records_about_others_are_not_believed"),
    ("resolver: addresses of an answer", "addresses.len() < MAX_ADDRESSES", "true", "a_flood_of_records_is_not_read_to_its_end"),
    ("resolver: records of an answer", "count >= MAX_RECORDS", "false", "a_flood_of_records_is_not_read_to_its_end"),
    ("resolver: records of another class", "record.class() != Class::IN", "false", "records_about_others_are_not_believed"),
    ("resolver: aliases of other names", "|(owner, ..)| «owner.name_eq(&last)») {", "true", "a_chain_without_an_address_at_its_end_is_to_be_asked_for"),
    ("resolver: aliases that are followed", "left.checked_sub(1).ok_or(AnswerError::Aliases)?", "left.saturating_sub(1)", "more_than_sixteen_aliases_and_circles_are_not_followed"),
];

#[rustfmt::skip]
const EXCHANGE: &[Row] = &[
    ("resolver: answers that belong to no question", "for _ in 0..«STRAYS» {", "usize::MAX", "a_resolver_without_an_answer_is_followed_by_the_other_one_at_once"),
    ("resolver: the same on a stream", "for _ in 0..«STRAYS_ON_STREAM»", "usize::MAX", "a_stream_that_ends_lies_or_stays_silent_is_no_answer"),
];

#[rustfmt::skip]
const FINDING: &[Row] = &[
    ("resolver: how long an address is believed", "Duration::from_secs(ttl.max(LEAST).into()).min(MOST)", "Duration::from_secs(ttl.max(LEAST).into())", "times_stay_within_their_limits"),
    ("resolver: how long nothing is believed", "ttl.unwrap_or(NEGATIVE).clamp(LEAST, MOST_NEGATIVE)", "ttl.unwrap_or(NEGATIVE).max(LEAST)", "times_stay_within_their_limits"),
    ("resolver: what is believed has an end", "now < *end", "true", "what_is_believed_has_an_end"),
    ("resolver: names of which something is remembered", "self.entries.len() >= self.limit", "false", "there_are_never_more_than_the_limit"),
];

#[rustfmt::skip]
const LOOKUP: &[Row] = &[
    ("resolver: time for all about a name", "Instant::now() + WHOLE", "Instant::now() + WHOLE * 8", "without_any_answer_it_ends_after_five_seconds"),
    ("resolver: time of one try", "TRY.min(left())", "left()", "a_silent_resolver_is_followed_by_the_other_one"),
    ("resolver: questions cost nothing", "self.upstream.charge(&asked.name, asked.to_bytes(edns).len()).map_err(TryError::Refused)?", "()", "questions_count_as_sent_and_are_not_asked_when_nothing_is_left"),
    ("resolver: aliases as other resolvers follow them", "(«ALIASES», u32::MAX)", "8", "aliases_are_followed_over_several_answers_up_to_sixteen"),
    ("resolver: one id for all", "random().map_err(ExchangeError::from)?", "7", "every_question_has_an_id_that_is_hard_to_guess"),
];

#[rustfmt::skip]
const RESOLVE: &[Row] = &[
    ("resolver: names that are looked up at once", "all.len() >= NAMES", "false", "only_so_many_questions_wait_at_once_and_the_others_behind_them"),
    ("resolver: a name is looked up once for all who ask", "all.get(name)", "None::<&Rc<Running>>", "a_name_is_asked_for_once_however_many_want_it"),
];

#[rustfmt::skip]
const PLACES: &[Row] = &[
    ("resolver: questions that wait at once", "self.free.get().checked_sub(1)", "Some(self.free.get())", "only_so_many_questions_wait_at_once_and_the_others_behind_them"),
];

#[rustfmt::skip]
const CLAIM: &[Row] = &[
    ("claim: another name", "if «name == claimed»", "true", "a_connection_to_a_name_is_for_that_name_only"),
    ("claim: no name", "Err(Refusal::because(Reason::NoName))", "Ok(())", "a_connection_to_a_name_is_for_that_name_only"),
    ("claim: another address", "canonical(*address) == canonical(*claimed)", "true", "at_an_address_any_name_may_be_named_that_the_rules_allow"),
    ("claim: an address in another spelling", "canonical(*address) == canonical(*claimed)", "address == claimed", "at_an_address_any_name_may_be_named_that_the_rules_allow"),
    ("claim: an address for a name", "Err(Refusal::because(Reason::NameMismatch))", "Ok(())", "a_connection_to_a_name_is_for_that_name_only"),
    ("claim: a name at an address that belongs to several", "Err(Refusal { reason, rule, other: Some(claimed.clone()) })", "Ok(())", "at_an_address_any_name_may_be_named_that_the_rules_allow"),
];

#[rustfmt::skip]
const CONNECTION: &[Row] = &[
    ("an address of IPv6 is used before it is known what is behind it", "*destination == Destination::HostLoopback || found.iter().all(IpAddr::is_ipv4)", "true", "while_nobody_says_what_is_behind_ipv6_the_other_family_is_used"),
    ("connection: the rules, before a name is looked up", "Decision::Denied { reason, rule } if «agentbox_launch::in_force(\"gate-rules\")»", "false", "a_name_that_is_refused_is_not_looked_up_and_an_address_of_none_is_not_reached"),
    ("connection: a synthetic address that stands for nothing", "if «is_synthetic(address)» {", "false", "a_name_that_is_refused_is_not_looked_up_and_an_address_of_none_is_not_reached"),
    ("connection: the relay itself", "address.is_loopback()", "false", "another_port_and_a_literal_address_are_reset_at_once"),
    ("connection: the budget, before it is made", "shared.flows.left(&expected.destination).map(drop).map_err(Refusal::because)", "Ok(())", "not_one_byte_more_than_the_budget_is_sent"),
    ("connection: the claim", "words.claim.clone().and_then(|claim| expected.judge(&claim))", "words.claim.clone().map(drop)", "another_name_is_told_that_access_is_denied"),
    ("connection: a name at an address that no rule allows", "Err(this) => «_ = refusal.get_or_insert(this)»", "allowed.push(*address)", "no_sequence_of_answers_has_an_internal_address_asked_for"),
    ("connection: rules that changed while it was made", "«flow.judge(&expected.rules)» {", "Ok::<(), Refusal>(())", "rules_that_change_while_a_connection_is_made_hold_for_it"),
    ("connection: a place in use", "let _hold = «shared.directory.hold(address)»", "shared.directory.hold(Ipv4Addr::UNSPECIFIED.into())", "what_an_address_stands_for_is_kept_while_a_connection_lives"),
];

#[rustfmt::skip]
const RELAYED: &[Row] = &[
    ("relay: the budget of first words", "«self.flow.spend(bytes.len())» {", "self.flow.spend(0)", "every_byte_arrives_both_ways_and_is_counted"),
    ("relay: TLS that begins later", "«self.expected().judge(&claim)» {", "Ok::<(), Refusal>(())", "another_name_is_told_that_access_is_denied"),
    ("relay: HTTP/2 behind an upgrade", "answer == Answered::Http2", "false", "http2_is_not_switched_to"),
    ("relay: who leaves before an answer", "requests.early() < EARLY_BYTES", "false", "who_leaves_before_another_protocol_is_agreed_on_is_noticed"),
    ("relay: bytes that are kept until an answer", "requests.early() < EARLY_BYTES", "true", "what_is_said_before_another_protocol_is_agreed_on_arrives_behind_it_in_order"),
];

#[rustfmt::skip]
const FIRST: &[Row] = &[
    ("first words: no TLS on its port", "Begin::Other if «waits == Waits::Hello» =>", "false", "what_is_no_tls_on_its_port_is_reset"),
    ("first words: silence", "begin(client, «patience.silence»)", "patience.silence * 1000", "who_waits_for_the_server_to_speak_is_refused_and_who_leaves_is_not"),
    ("first words: silence is told", "Begin::Silence => «Some(Words::refused(Language::Neither, Reason::Silent, share))»", "None", "who_waits_for_the_server_to_speak_is_refused_and_who_leaves_is_not"),
    ("first words: silence of who is refused already", "begin(client, «patience.refused»)", "patience.silence", "who_is_refused_already_does_not_wait_for_as_long"),
    ("first words: a slow hello", "«timeout(patience.words, read)».await {\n        Ok(Some(Some(Outcome", "timeout(patience.words * 1000, read)", "a_slow_hello_is_not_waited_for"),
    ("first words: a slow request", "«timeout(patience.words, read)».await {\n        Ok(Some(Ok(", "timeout(patience.words * 1000, read)", "a_slow_request_is_not_waited_for"),
];

#[rustfmt::skip]
const HEARD: &[Row] = &[
    ("first words: memory of all of them", "bytes <= *always || held.get() <= *most", "true", "first_words_of_all_connections_take_no_more_memory_than_there_may_be"),
    ("first words: what everybody may hold", "bytes <= *always || held.get() <= *most", "held.get() <= *most", "all_together_hold_no_more_than_there_may_be"),
    ("first words: memory is free again", "held.get() - self.bytes + bytes", "held.get() + bytes", "all_together_hold_no_more_than_there_may_be"),
];

#[rustfmt::skip]
const FLOWS: &[Row] = &[
    ("flows: a connection that the rules no longer allow", "«flow.judge(rules)» {", "Ok::<(), Refusal>(())", "a_connection_is_cut_when_the_rules_no_longer_allow_it"),
    ("flows: an address that they no longer allow", "judge_address(rules, &self.destination, self.port, self.address, &translators)?", "None::<u32>", "a_connection_is_cut_when_the_rules_no_longer_allow_it"),
    ("flows: a name at an address that they no longer allow", "=> «expected.judge(claim)»", "Ok(())", "a_name_at_an_address_is_cut_when_it_is_no_longer_allowed"),
    ("flows: the budget of words", "self.flows.0.budget.borrow_mut().charge(&self.destination, bytes)?", "()", "a_request_of_more_bytes_than_are_left_is_not_sent_and_the_budget_is_named"),
    ("flows: much of what is left is told later", "unreported.get() >= REPORTED_BYTES && is_much()", "false", "much_of_what_a_budget_has_left_is_reported_at_once"),
    ("flows: what is sent is counted", "self.flows.0.budget.borrow_mut().spend(&self.destination, bytes)", "()", "not_one_byte_more_than_the_budget_is_sent"),
    ("flows: the budget of what goes up", "«self.0.flows.left(&self.0.destination)»", "Ok(u64::MAX)", "not_one_byte_more_than_the_budget_is_sent"),
];

#[rustfmt::skip]
const RELAY: &[Row] = &[
    ("relay: connections at once", "taken < self.most", "true", "one_connection_too_many_is_reset_and_there_is_room_again_later"),
    ("relay: connections of which there are no files", "limits.connections.min(of_files)", "limits.connections", "there_are_no_more_connections_than_open_files_allow"),
    ("relay: a place is free again", "self.0.get() - 1", "self.0.get()", "one_connection_too_many_is_reset_and_there_is_room_again_later"),
];

#[rustfmt::skip]
const PUMP: &[Row] = &[
    ("relay: bytes of one move", "left.min(most)", "most", "a_piece_that_is_larger_than_what_is_left_is_moved_as_far_as_that"),
    ("relay: what moved is counted", "meter.count(count as u64)", "()", "every_byte_arrives_both_ways_and_is_counted"),
];

#[rustfmt::skip]
const SKIM: &[Row] = &[
    ("TLS: what does not begin like it", "!begins_like_record(&self.record)", "false", "what_is_no_tls_is_known_at_once"),
    ("TLS: a record without bytes", "self.payload == 0 || self.payload > MAX_RECORD_BYTES", "self.payload > MAX_RECORD_BYTES", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: bytes of a record", "self.payload == 0 || self.payload > MAX_RECORD_BYTES", "self.payload == 0", "what_is_no_tls_is_known_at_once"),
    ("TLS: bytes of a hello in many records", "is_none || self.seen > MAX_HELLO_BYTES", "is_none", "the_length_is_bounded"),
    ("TLS: another message than a hello", "self.message.first() != Some(&CLIENT_HELLO)", "false", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: bytes of a hello", "self.body > MAX_HELLO_BYTES", "false", "the_length_is_bounded"),
    ("TLS: bytes behind a hello", "within.len() > self.body", "false", "where_two_readers_could_find_different_names_it_is_malformed"),
];

#[rustfmt::skip]
const EXTENSIONS: &[Row] = &[
    ("TLS: a session id of any length", "rest.short()?.len() > MAX_SESSION_ID_BYTES", "rest.short()?.len() > 255", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: no suites, or half a one", "suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty()", "compressions.is_empty()", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: no compression", "suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty()", "suites.is_empty() || suites.len() % 2 != 0", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: two names", "kind == SERVER_NAME && found.replace(body).is_some()", "{ if kind == SERVER_NAME { found = Some(body); } false }", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: another type of name", "list.u8()? != HOST_NAME", "list.u8()? == 7", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: bytes behind the name", "list.end()?", "()", "where_two_readers_could_find_different_names_it_is_malformed"),
    ("TLS: an address is no name", "text.parse::<IpAddr>().is_ok()", "false", "names_are_read_as_hosts_are_written"),
];

#[rustfmt::skip]
const HEAD: &[Row] = &[
    ("HTTP: `content_length`", "name.contains('_')", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: a header twice", "place.replace(header.value).is_some()", "{ *place = Some(header.value); false }", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: chunks of HTTP/1.0", "value.eq_ignore_ascii_case(b\"chunked\") && version == 1", "value.eq_ignore_ascii_case(b\"chunked\")", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: every encoding is chunked", "value.eq_ignore_ascii_case(b\"chunked\") && version == 1", "version == 1", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: a trailer that decides", "decisive(field.name)?.is_some()", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: number of headers", "lines > MAX_HEADERS", "false", "what_is_held_is_bounded"),
    ("HTTP: CONNECT", "method.eq_ignore_ascii_case(\"CONNECT\")", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: another scheme", "!scheme.eq_ignore_ascii_case(\"http\")", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: a port that begins with zeros", "text.starts_with('0')", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: numbers that are more than digits", "text.is_empty() || !text.iter().all(u8::is_ascii_digit)", "text.is_empty()", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: a chunk's size of any length", "digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit)", "digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit)", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: a chunk's size in other signs", "digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit)", "digits.is_empty() || digits.len() > 15", "what_could_be_read_in_two_ways_is_malformed"),
];

#[rustfmt::skip]
const LINES: &[Row] = &[
    ("HTTP: a line end without CR", "=> «last == Some(b'\\r')»,", "true", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: CR within a line", "_ if «last == Some(b'\\r')»", "false", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: control characters", "!byte.is_ascii_control()", "true", "nothing_goes_on_behind_a_request_for_another_protocol_before_the_answer"),
    ("HTTP: bytes that are held back", "self.bytes.len() + at >= most", "false", "what_could_be_read_in_two_ways_is_malformed"),
];

#[rustfmt::skip]
const REQUESTS: &[Row] = &[
    ("HTTP: the claim of each request", "judge(expected, &head)?", "()", "at_an_address_the_host_is_the_address_or_what_the_rules_allow"),
    ("HTTP: the host's own name", "expected.judge(&named.claim)?", "()", "a_host_that_passes_is_the_name"),
    ("HTTP: another port", "is_other_port && expected.destination != Destination::HostLoopback", "false", "another_host_is_refused_wherever_it_stands"),
    ("HTTP: the host's loopback under another port", "is_other_port && expected.destination != Destination::HostLoopback", "is_other_port", "at_an_address_the_host_is_the_address_or_what_the_rules_allow"),
    ("HTTP: target and host differ", "head.target.as_ref().is_some_and(|target| target.claim != head.host.claim)", "false", "at_an_address_the_host_is_the_address_or_what_the_rules_allow"),
    ("HTTP: the fields of a trailer", "head::check_trailer(&lines)?", "()", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: what follows an upgrade goes on before the answer", "State::Waiting => «self.behind.extend_from_slice(std::mem::take(piece))»", "forward.extend_from_slice(std::mem::take(piece))", "nothing_goes_on_behind_a_request_for_another_protocol_before_the_answer"),
    ("HTTP: an upgrade that was declined is opaque", "if is_upgraded { State::Opaque } else { State::Head }", "State::Opaque", "nothing_goes_on_behind_a_request_for_another_protocol_before_the_answer"),
    ("HTTP: many empty lines", "lines == b\"\\r\\n\" && self.count > 0 && !self.is_after_empty_line", "lines == b\"\\r\\n\" && self.count > 0", "what_could_be_read_in_two_ways_is_malformed"),
    ("HTTP: an upgrade that comes later", "head.is_upgrade && self.count == 0", "head.is_upgrade", "nothing_goes_on_behind_a_request_for_another_protocol_before_the_answer"),
    ("HTTP: what follows a refusal", "«self.state = State::Refused»;", "()", "answers_to_pipelined_requests_come_before_the_refusal_of_the_last"),
];

#[rustfmt::skip]
const UPGRADE: &[Row] = &[
    ("HTTP: an upgrade to HTTP/2", "«is_http2» {", "false", "only_a_101_is_an_answer_that_changes_the_protocol"),
];

#[rustfmt::skip]
const TOLD: &[Row] = &[
    ("keys: all of the person's are told", "chosen.contains(&fingerprint(key))", "true", "the_list_has_chosen_keys_and_no_comments"),
    ("keys: another answer than a list", "answer.byte()? != IDENTITIES_ANSWER", "answer.byte()? == 255", "the_list_has_chosen_keys_and_no_comments"),
    ("keys: number of keys", "count > MAX_KEYS", "false", "the_list_has_chosen_keys_and_no_comments"),
    ("keys: comments are told", "put(COMMENT, &mut told)", "put(b\"me@host\", &mut told)", "the_list_has_chosen_keys_and_no_comments"),
    ("keys: another answer than a signature", "answer.byte()? != SIGN_RESPONSE", "answer.byte()? == 255", "the_list_has_chosen_keys_and_no_comments"),
];

#[rustfmt::skip]
const BIND: &[Row] = &[
    ("keys: a binding that is forwarded", "«is_forwarding» {", "false", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: a session id of any length", "!SESSION_ID_BYTES.contains(&session.len())", "false", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: a host that nobody knows", "hosts.iter().position(is_known).ok_or(KeyReason::OtherHost)?", "hosts.iter().position(is_known).unwrap_or(0)", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: a binding without the host's signature", "verify(host_key, session, signature)?", "()", "a_binding_is_worth_what_the_signature_of_the_host_is"),
];

#[rustfmt::skip]
const KEYS_CLIENT: &[Row] = &[
    ("keys: what is no message is not told", "error.kind() == io::ErrorKind::InvalidData", "false", "what_is_no_message_is_told_and_ends_the_connection"),
    ("keys: the agent's own list", "chosen_keys(&answer, &self.plan.keys)", "answer", "of_the_persons_agent_the_session_hears_signatures_and_chosen_keys"),
    ("keys: nobody would sign", "if let Err(reason) = «self.connect().await»", "Ok::<(), KeyReason>(())", "nothing_is_written_down_as_signed_where_nobody_is_who_would_sign"),
    ("keys: what the supervisor refused", "self.link.sign(key, purpose).await.is_err()", "false", "a_signature_is_written_down_before_the_persons_agent_is_asked_for_it"),
    ("keys: an answer that is no signature", "Ok(answer) if «is_signature(&answer)»", "true", "of_the_persons_agent_the_session_hears_signatures_and_chosen_keys"),
    ("keys: the binding stays here", "exchange(&agent, bound).await?", "Vec::new()", "what_binds_a_connection_is_said_to_the_persons_agent_first"),
];

#[rustfmt::skip]
const KEYS_SERVE: &[Row] = &[
    ("keys: somebody else's connection", "peer.uid.as_raw() == plan.client_uid", "true", "nobody_but_the_session_is_answered"),
    ("keys: number of connections", "clients.get() >= MAX_CLIENTS", "false", "more_connections_than_there_may_be_are_closed_and_told"),
    ("keys: a connection that ended makes room", "clients.set(clients.get() - 1)", "()", "more_connections_than_there_may_be_are_closed_and_told"),
];

#[rustfmt::skip]
const KEYS_FRAME: &[Row] = &[
    ("keys: bytes of a request", "length > most", "false", "keys::frame::tests::what_is_longer_than_allowed_is_not_read"),
];

#[rustfmt::skip]
const JUDGE: &[Row] = &[
    ("keys: after a second binding", "return refused(KeyReason::Forwarded)", "()", "everything_else_is_refused"),
    ("keys: another extension", "message.string()? != bind::NAME", "message.string()? == b\"no\"", "a_binding_is_worth_what_the_signature_of_the_host_is"),
    ("keys: another binding on the same connection", "if «before == bound» => before", "true", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: bytes behind a request to sign", "message.end().is_err()", "false", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: a key that was not chosen", "!self.plan.keys.contains(&key)", "false", "a_key_that_is_not_listed_signs_nothing"),
    ("keys: signatures of git", "if «self.plan.sign_git»", "true", "git_signs_where_it_is_permitted_and_no_other_namespace_does"),
    ("keys: RSA with SHA-1", "0 if «!is_rsa»", "true", "a_key_of_rsa_does_not_sign_with_sha_1"),
    ("keys: every flag", "SHA2.contains(&flags)", "true", "a_key_of_rsa_does_not_sign_with_sha_1"),
    ("keys: a login without a binding", "return Err((None, KeyReason::Unbound))", "return Ok(Purpose::Login { host: 0 })", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: a login with another key", "key != blob", "false", "a_key_that_is_not_listed_signs_nothing"),
    ("keys: a login of another session", "session != bound.session || host_key.is_some_and(|key| key != bound.host_key)", "host_key.is_some_and(|key| key != bound.host_key)", "a_login_is_signed_for_a_chosen_host_that_proved_itself"),
    ("keys: a login at another host", "session != bound.session || host_key.is_some_and(|key| key != bound.host_key)", "session != bound.session", "what_is_to_be_signed_says_in_full_what_it_is_for"),
];

#[rustfmt::skip]
const PURPOSE: &[Row] = &[
    ("keys: a signature with something reserved", "namespace.is_empty() || !reserved.is_empty() || hash.len() != length", "namespace.is_empty() || hash.len() != length", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: a hash of another length", "namespace.is_empty() || !reserved.is_empty() || hash.len() != length", "namespace.is_empty() || !reserved.is_empty()", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: another request than a login", "data.byte()? != USERAUTH_REQUEST", "data.byte()? == 255", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: a login for another service", "service != b\"ssh-connection\" || !has_signature || algorithm.is_empty()", "!has_signature || algorithm.is_empty()", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: a login that asks only", "service != b\"ssh-connection\" || !has_signature || algorithm.is_empty()", "service != b\"ssh-connection\" || algorithm.is_empty()", "what_is_to_be_signed_says_in_full_what_it_is_for"),
    ("keys: a login without an algorithm", "service != b\"ssh-connection\" || !has_signature || algorithm.is_empty()", "service != b\"ssh-connection\" || !has_signature", "what_is_to_be_signed_says_in_full_what_it_is_for"),
];

#[rustfmt::skip]
const READ: &[Row] = &[
    ("keys: bytes behind the last value", "self.0.is_empty()", "true", "the_list_has_chosen_keys_and_no_comments"),
];

#[rustfmt::skip]
const VERIFY: &[Row] = &[
    ("keys: a signature by Ed25519", "UnparsedPublicKey::new(&ED25519, public).verify(data, value).map_err(bad)", "Ok(())", "signatures_of_every_kind_of_host_key_are_verified"),
    ("keys: a signature on 256 bits", "UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(data, &value).map_err(bad)", "Ok(())", "signatures_of_every_kind_of_host_key_are_verified"),
    ("keys: a signature on 384 bits", "UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(data, &value).map_err(bad)", "Ok(())", "signatures_of_every_kind_of_host_key_are_verified"),
    ("keys: a signature by RSA", "RsaPublicKeyComponents { n, e }.verify(parameters, data, value).map_err(bad)", "Ok(())", "signatures_of_every_kind_of_host_key_are_verified"),
    ("keys: another curve", "key.string()? != curve", "key.string()? == b\"no\"", "signatures_of_every_kind_of_host_key_are_verified"),
];

#[rustfmt::skip]
const LINK: &[Row] = &[
    ("link: no supervisor", "!self.0.is_connected.get()", "false", "a_socket_comes_to_who_asked_for_it"),
    ("link: a part of what came with a message", "received.flags.contains(ReturnFlags::CTRUNC)", "false", "a_socket_that_there_is_no_descriptor_for_is_refused_and_the_next_one_comes"),
    ("link: requests that wait to be asked", "self.0.queue.borrow().len() >= QUEUE", "false", "what_waits_for_a_supervisor_has_an_end"),
    ("link: reports that wait", "queue.len() < QUEUE", "true", "what_waits_for_a_supervisor_has_an_end"),
];
