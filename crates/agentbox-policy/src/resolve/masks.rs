//! What is hidden in a project besides what is built in: anybody may hide more, the system and the person
//! may show.

use super::Sources;
use super::choice::Choice;
use crate::config::Pattern;
use crate::policy::Sourced;

pub(super) fn masked(sources: &Sources<'_>, choice: &Choice<'_>) -> Vec<Sourced<Pattern>> {
    let mut all = Vec::new();
    let mut add = |list: Option<&Vec<Pattern>>, rule: String| {
        let patterns = list.into_iter().flatten();
        all.extend(patterns.map(|pattern| Sourced::new(pattern.clone(), rule.clone())));
    };
    if let Some((_, table)) = choice.table {
        add(table.mask.as_ref(), choice.profile_rule("mask"));
    }
    for entry in &choice.entries {
        add(entry.table.mask.as_ref(), entry.rule("mask"));
    }
    if let Some(file) = sources.file {
        add(file.config.mask.as_ref(), file.rule("mask"));
    }
    all
}

pub(super) fn unmasked(choice: &Choice<'_>) -> Vec<Sourced<Pattern>> {
    let mut all = Vec::new();
    let mut add = |list: Option<&Vec<Pattern>>, rule: String| {
        let patterns = list.into_iter().flatten();
        all.extend(patterns.map(|pattern| Sourced::new(pattern.clone(), rule.clone())));
    };
    if let Some((_, table)) = choice.table {
        add(table.unmask.as_ref(), choice.profile_rule("unmask"));
    }
    if let Some(entry) = choice.own() {
        add(entry.table.unmask.as_ref(), entry.rule("unmask"));
    }
    all
}
