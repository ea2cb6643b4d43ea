//! Mutants of `agentboxd`: what polkit is asked, and what its answer is taken for; what the trail tells of a network. Who may call what, and of whose things,
//! is left out by `mutation_daemon` of the suite, with the supervisor as a whole.

use super::{Mutant, Row, of};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = of("system/polkit.rs", POLKIT);
    all.extend(of("caller.rs", CALLER));
    all.extend(of("network/decisions.rs", DECISIONS));
    all.extend(of("network/gate.rs", NEXT_TO));
    all.extend(of("network/totals.rs", TOTALS));
    all
}

const YES: &str = "nothing_but_a_yes_about_who_calls_is_a_yes";
const ROOT: &str = "root_needs_no_consent_and_without_a_bus_nobody_gives_it";

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
    ("consent: without a bus everybody has it", "None => «false»,\n        }\n    }", "true", ROOT),
];

#[rustfmt::skip]
const DECISIONS: &[Row] = &[
    ("trail: refusals take the room of what was allowed", "if is_refusal { &mut self.refused } else { &mut self.allowed }", "&mut self.refused", "no_flood_hides_what_was_allowed"),
    ("trail: what was allowed is not told apart", "open.len() >= MOST {\n            if «is_refusal»", "true", "no_flood_hides_what_was_allowed"),
];

#[rustfmt::skip]
const NEXT_TO: &[Row] = &[
    ("next to the machine: a rule that grants it", "(!rules.grants_internal(destination, port, address)).then_some(reason)", "Some(reason)", "what_is_next_to_the_machine_is_not_said_to_be_allowed"),
    ("next to the machine: without a rule that grants it", "(!rules.grants_internal(destination, port, address)).then_some(reason)", "None", "what_is_next_to_the_machine_is_not_said_to_be_allowed"),
];

#[rustfmt::skip]
const TOTALS: &[Row] = &[
    ("totals: refusals have any number of places", "self.refused.len() < MAX_REFUSED", "true", "no_number_of_refusals_hides_where_bytes_went"),
    ("totals: destinations have any number of places", "self.reached.len() > MAX_REACHED", "false", "of_too_many_destinations_those_with_the_fewest_bytes_are_told_together"),
];
