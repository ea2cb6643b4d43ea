//! Mutants of `agentboxd`: what polkit is asked, and what its answer is taken for. Who may call what, and of whose things,
//! is left out by `mutation_daemon` of the suite, with the supervisor as a whole.

use super::{Mutant, Row, of};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = of("system/polkit.rs", POLKIT);
    all.extend(of("caller.rs", CALLER));
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
