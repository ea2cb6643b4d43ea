//! `structure`: the promises of docs/ARCHITECTURE.md about this repository, checked.
//!
//! | file | checks |
//! |---|---|
//! | `metadata` | what `cargo metadata` says, as far as it is asked here |
//! | `edges` | which crate may depend on which |
//! | `licence` | licences of everything that is linked |
//! | `snippet` | examples in the documents |
//! | `source` | the files of the repository, with comments and strings taken out of Rust |
//! | `code` | unsafe, processes, sizes, words |
//! | `document` | the diagram, the links, the places and the attacks of the documents |
//! | `proof` | tables of the documents whose rows name their tests |

mod code;
mod document;
mod edges;
mod licence;
mod metadata;
mod proof;
mod snippet;
mod source;

use crate::terminal::Paint;
use crate::test::Tally;
use anyhow::Result;
use metadata::Metadata;
use source::Sources;
use std::process::ExitCode;

/// What a check looks at.
struct Repository {
    metadata: Metadata,
    sources: Sources,
}

/// A check returns what is wrong, one line each.
type Check = fn(&Repository) -> Vec<String>;

const CHECKS: &[(&str, Check)] = &[
    ("edges_between_crates_are_those_of_the_diagram", edges::edges_between_crates_are_those_of_the_diagram),
    ("trusted_programs_link_no_more_than_is_listed", edges::trusted_programs_link_no_more_than_is_listed),
    ("policy_is_pure", edges::policy_is_pure),
    ("unsafe_is_in_sys_files", code::unsafe_is_in_sys_files),
    ("only_kernel_starts_processes", code::only_kernel_starts_processes),
    ("files_are_short", code::files_are_short),
    ("nothing_is_left_for_later", code::nothing_is_left_for_later),
    ("every_step_is_left_out_once", code::every_step_is_left_out_once),
    ("every_parser_is_thrown_at", code::every_parser_is_thrown_at),
    ("licences_are_allowed", licence::licences_are_allowed),
    ("every_invariant_names_its_check", proof::every_invariant_names_its_check),
    ("every_known_weakness_names_its_test", proof::every_known_weakness_names_its_test),
    ("every_sentence_of_others_is_answered", proof::every_sentence_of_others_is_answered),
    ("every_outcome_is_answered_for_every_attacker", proof::every_outcome_is_answered_for_every_attacker),
    (
        "every_promise_is_held_by_a_test_and_every_test_holds_one",
        proof::every_promise_is_held_by_a_test_and_every_test_holds_one,
    ),
    ("every_example_is_one_that_works", snippet::every_example_is_one_that_works),
    ("links_resolve", document::links_resolve),
    ("places_exist", document::places_exist),
    ("named_attacks_exist", document::named_attacks_exist),
];

pub(crate) fn run() -> Result<ExitCode> {
    let tally = check()?;
    println!("{tally}");
    Ok(if tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs every check and prints what each found.
pub(crate) fn check() -> Result<Tally> {
    let repository =
        Repository { metadata: Metadata::read()?, sources: Sources::read(&crate::workspace::root())? };
    let paint = Paint::for_stdout();
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let problems = check(&repository);
        if problems.is_empty() {
            println!("check {name} ... {}", paint.good("ok"));
            tally.passed += 1;
        } else {
            println!("check {name} ... {}", paint.bad("FAILED"));
            for problem in problems {
                println!("  {problem}");
            }
            tally.failed += 1;
        }
    }
    Ok(tally)
}
