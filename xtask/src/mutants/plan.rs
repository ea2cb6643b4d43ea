//! Mutants of `agentbox-plan`: what a name or an address may be reached for, by which gate and supervisor both judge, and
//! which links are trigger files.

use super::{Mutant, Row, of};

pub(super) const WHOLE: &[&str] = &["net/rules.rs", "net/internal.rs", "net/cidr.rs"];

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = of("net/rules.rs", RULES);
    all.extend(of("net/standing.rs", STANDING));
    all.extend(of("net/internal.rs", INTERNAL));
    all.extend(of("net/cidr.rs", CIDR));
    all.extend(of("net/name.rs", NAME));
    all.extend(of("net/target.rs", TARGET));
    all.extend(of("trigger.rs", TRIGGER));
    all.extend(of("glob.rs", GLOB));
    all
}

#[rustfmt::skip]
const TRIGGER: &[Row] = &[
    ("a link is no directory", "is_beside(to)", "true", BESIDE),
    ("a link by which git tries whether there are links is another's directory", "is_beside(to)", "false", BESIDE),
    ("a link that leads up leads beside", "!matches!(to, b\"\" | b\".\" | b\"..\") && !to.contains(&b'/')", "!to.contains(&b'/')", BESIDE),
    ("a link that leads elsewhere leads beside", "!matches!(to, b\"\" | b\".\" | b\"..\") && !to.contains(&b'/')", "!matches!(to, b\"\" | b\".\" | b\"..\")", BESIDE),
];
const BESIDE: &str = "a_link_to_a_name_beside_it_is_held_where_its_own_name_counts";

#[rustfmt::skip]
const GLOB: &[Row] = &[
    ("any name is asked for by its name", "!rest.is_empty() && !name.is_any() && name.matches(last.as_ref())", "!rest.is_empty() && name.matches(last.as_ref())", BY_NAME),
    ("a match is what is above one", "!rest.is_empty() && !name.is_any() && name.matches(last.as_ref())", "!name.is_any() && name.matches(last.as_ref())", BY_NAME),
    ("a name is asked for by any other", "!rest.is_empty() && !name.is_any() && name.matches(last.as_ref())", "!rest.is_empty() && !name.is_any()", BY_NAME),
];
const BY_NAME: &str = "a_directory_is_asked_for_by_its_name_or_by_any";

#[rustfmt::skip]
const RULES: &[Row] = &[
    ("a rule for a name is about every name", "name == wanted", "true", "an_internal_address_needs_a_grant_of_its_own"),
    ("a rule for `*.` is about what is further below", "name.is_child_of(parent)", "name.is_below(parent)", "an_allowlist_allows_what_is_listed"),
    ("a rule for `**.` is about every name", "name.is_below(parent)", "true", "a_rule_that_denies_wins"),
    ("a range is about addresses as they are written only", "range.contains(canonical(*address)) || range.contains(reached(*address))", "range.contains(*address)", "behind_a_translator_rules_are_about_the_address_that_is_reached"),
    ("a range is not about what a translator reaches", "range.contains(canonical(*address)) || range.contains(reached(*address))", "range.contains(canonical(*address))", "behind_a_translator_rules_are_about_the_address_that_is_reached"),
    ("a range is not about the translator itself", "range.contains(canonical(*address)) || range.contains(reached(*address))", "range.contains(reached(*address))", "behind_a_translator_rules_are_about_the_address_that_is_reached"),
    ("a denial of one is one of all", "rule.verdict == verdict", "true", "an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone"),
    ("a denial denies no port", "about(rule) && rule.target.denies_port(port)", "false", "a_rule_that_denies_wins"),
    ("a denial of a port is one of all", "about(rule) && rule.target.denies_port(port)", "about(rule)", "a_destination_stands_as_its_ports_are_judged"),
    ("a denial of one is one of every host", "about(rule) && rule.target.denies_port(port)", "rule.target.denies_port(port)", "an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone"),
    ("a rule allows every port", "«rule.target.allows_port(port)» {\n                return", "true", "an_allowlist_allows_what_is_listed"),
    ("public: internal addresses as well", "internal_range(*address).is_none()", "true", "an_address_that_was_asked_for_is_the_one_that_is_reached"),
    ("an address that a rule denies is reached by its name", "rule.target.pattern.matches(&at_address) && rule.target.denies_port(port)", "false", "an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone"),
    ("an address that is shared is denied on every port", "rule.target.pattern.matches(&at_address) && rule.target.denies_port(port)", "rule.target.pattern.matches(&at_address)", "an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone"),
    ("the host's loopback is anywhere", "Destination::HostLoopback if «canonical(address).is_loopback()»", "true", "the_loopback_of_the_host_is_reached_by_its_rule_only"),
    ("another address than the one that was asked for", "canonical(*asked) != canonical(address)", "false", "an_address_that_was_asked_for_is_the_one_that_is_reached"),
    ("an address in two spellings is two", "canonical(*asked) != canonical(address)", "*asked != address", "an_address_that_was_asked_for_is_the_one_that_is_reached"),
    ("a name leads to an internal address", "is_internal() && !self.grants_internal(destination, port, address)", "false", "an_internal_address_needs_a_grant_of_its_own"),
    ("a grant of an internal address is none", "is_internal() && !self.grants_internal(destination, port, address)", "is_internal()", "an_internal_address_needs_a_grant_of_its_own"),
    ("what the network translates is public", "translators.behind(address).chain([address]).any(|address| internal_range(address).is_some())", "internal_range(address).is_some()", "no_internal_address_is_granted_behind_any_prefix_that_was_heard_of"),
    ("a grant of a port is one of all", "«rule.target.allows_port(port)»\n                && match", "true", "an_internal_address_needs_a_grant_of_its_own"),
    ("a wide range grants internal addresses", "range.prefix() >= 8 && rule.target.pattern.matches(&at_address)", "rule.target.pattern.matches(&at_address)", "an_internal_address_needs_a_grant_of_its_own"),
    ("a narrow range grants every internal address", "range.prefix() >= 8 && rule.target.pattern.matches(&at_address)", "range.prefix() >= 8", "an_internal_address_needs_a_grant_of_its_own"),
    ("the host's loopback is granted to names", "*destination == Destination::HostLoopback && canonical(address).is_loopback()", "canonical(address).is_loopback()", "the_loopback_of_the_host_is_reached_by_its_rule_only"),
    ("a grant of the host is one of every address", "*destination == Destination::HostLoopback && canonical(address).is_loopback()", "*destination == Destination::HostLoopback", "the_loopback_of_the_host_is_reached_by_its_rule_only"),
    ("every rule for a name grants internal addresses", "rule.internal && pattern.matches(destination)", "pattern.matches(destination)", "an_internal_address_needs_a_grant_of_its_own"),
    ("an internal name grants every internal address", "rule.internal && pattern.matches(destination)", "rule.internal", "an_internal_address_needs_a_grant_of_its_own"),
];

#[rustfmt::skip]
const STANDING: &[Row] = &[
    ("standing: a denial of one is one of all", "rule.verdict == verdict && rule.target.pattern.matches(destination)", "rule.verdict == verdict", "a_rule_for_the_name_alone_counts_more_than_one_for_many"),
    ("standing: what allows denies", "rule.verdict == verdict && rule.target.pattern.matches(destination)", "rule.target.pattern.matches(destination)", "a_name_of_which_no_port_is_left_is_refused"),
    ("standing: a denial of a port is one of all", "rule.target.port.is_none()", "true", "a_name_of_which_no_port_is_left_is_refused"),
    ("standing: no denial", "rule.target.port.is_none()", "false", "a_rule_for_the_name_alone_counts_more_than_one_for_many"),
    ("standing: a port that is denied is open", "«rule.target.denies_port(port)»);\n        let (mut matched", "false", "a_name_of_which_no_port_is_left_is_refused"),
    ("standing: public: internal addresses as well", "super::internal_range(*address).is_none()", "true", "a_destination_stands_as_its_ports_are_judged"),
];

#[rustfmt::skip]
const INTERNAL: &[Row] = &[
    ("no IPv4 range is internal", "(address.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() >= u32::from(prefix)", "false", "each_range_ends_where_it_ends"),
    ("an internal IPv4 range is one bit longer", "(address.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() >= u32::from(prefix)", "(address.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() > u32::from(prefix)", "each_range_ends_where_it_ends"),
    ("what is no global unicast is public", "address.segments()[0] & 0xe000 != 0x2000", "false", "each_range_ends_where_it_ends"),
    ("no IPv6 range is internal", "(address.to_bits() ^ Ipv6Addr::from(*first).to_bits()).leading_zeros() >= u32::from(prefix)", "false", "each_range_ends_where_it_ends"),
    ("an internal IPv6 range is one bit longer", "(address.to_bits() ^ Ipv6Addr::from(*first).to_bits()).leading_zeros() >= u32::from(prefix)", "(address.to_bits() ^ Ipv6Addr::from(*first).to_bits()).leading_zeros() > u32::from(prefix)", "each_range_ends_where_it_ends"),
    ("an IPv4 address behind a translator is public", "address.to_bits() & !u128::from(u32::MAX) == NAT64", "false", "every_way_to_write_an_ipv4_address_is_judged"),
    ("an IPv4 address in IPv6 is public", "address.to_canonical()", "address", "every_way_to_write_an_ipv4_address_is_judged"),
];

#[rustfmt::skip]
const CIDR: &[Row] = &[
    ("a prefix is longer than an address", "prefix > Self::width(first)", "false", "what_is_no_range_is_refused"),
    ("a range has bits behind its length", "bits(first) & !mask(prefix) != 0", "false", "what_is_no_range_is_refused"),
    ("a range of one family holds addresses of the other", "self.first.is_ipv4() == address.is_ipv4() && bits(address) & mask(self.prefix) == bits(self.first)", "bits(address) & mask(self.prefix) == bits(self.first)", "both_ends_are_inside_and_their_neighbours_are_not"),
    ("a range holds every address", "self.first.is_ipv4() == address.is_ipv4() && bits(address) & mask(self.prefix) == bits(self.first)", "self.first.is_ipv4() == address.is_ipv4()", "both_ends_are_inside_and_their_neighbours_are_not"),
    ("a range of one address is written with its length", "self.prefix == Self::width(self.first)", "false", "a_range_is_written_as_it_is_read"),
];

#[rustfmt::skip]
const NAME: &[Row] = &[
    ("a name has any length", "text.is_empty() || text.len() > MAX_BYTES", "text.is_empty()", "what_is_no_name_is_refused"),
    ("a label has any length", "label.is_empty() || label.len() > MAX_LABEL_BYTES", "label.is_empty()", "what_is_no_name_is_refused"),
    ("a name has empty labels", "label.is_empty() || label.len() > MAX_LABEL_BYTES", "label.len() > MAX_LABEL_BYTES", "what_is_no_name_is_refused"),
    ("a name has any character", "!label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))", "false", "what_is_no_name_is_refused"),
    ("an address is a name", "if «is_number» {", "false", "what_is_no_name_is_refused"),
    ("a name in other case is another", "text.to_ascii_lowercase()", "text.to_owned()", "case_and_the_last_dot_do_not_matter"),
    ("`*.` is every name below", "!above.contains('.')", "true", "below_needs_a_dot_between"),
    ("below needs no dot between", "self.0.strip_suffix(parent.as_str())?.strip_suffix('.')", "self.0.strip_suffix(parent.as_str())", "below_needs_a_dot_between"),
];

#[rustfmt::skip]
const TARGET: &[Row] = &[
    ("a rule for one port allows every port", "self.allowed_ports().contains(&port)", "true", "an_allowlist_allows_what_is_listed"),
    ("a denial of one port denies every port", "self.port.is_none_or(|mine| mine == port)", "true", "an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone"),
    ("a denial without a port denies none", "self.port.is_none_or(|mine| mine == port)", "self.port.is_some_and(|mine| mine == port)", "a_rule_that_denies_wins"),
    ("the host's loopback without a port", "pattern == Pattern::HostLoopback && port.is_none()", "false", "the_loopback_of_the_host_is_meant_in_every_spelling"),
    ("a wildcard for a whole top-level domain", "name.as_str().contains('.')", "true", "what_is_no_target_is_refused"),
];
