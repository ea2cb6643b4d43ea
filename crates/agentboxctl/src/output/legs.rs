//! The legs of the trifecta in words.

use crate::output::table::{Columns, Tone};
use agentbox_policy::{Leg, Legs};

/// One line: how many stand, and the first reason of each.
pub(crate) fn line(legs: &Legs) -> String {
    let mut text = format!("{} of {} legs", legs.count(), Leg::ALL.len());
    for (at, leg) in legs.standing().enumerate() {
        let causes = legs.causes(leg);
        let first = causes.first().map(|cause| cause.what.as_str()).unwrap_or_default();
        let more = if causes.len() > 1 { format!(" and {} more", causes.len() - 1) } else { String::new() };
        let between = if at == 0 { ": " } else { "; " };
        text.push_str(&format!("{between}{} ({first}{more})", leg.as_str()));
    }
    text
}

/// Every reason with its rule and what would remove it.
pub(crate) fn table(legs: &Legs) -> String {
    let mut columns = Columns::new(&["LEG", "BECAUSE", "RULE", "WITHOUT IT"]);
    for leg in Leg::ALL {
        let tone = if legs.count() == Leg::ALL.len() { Tone::Warning } else { Tone::Plain };
        for cause in legs.causes(leg) {
            let cells = [cause.what.as_str(), cause.rule.as_str(), cause.remedy.as_str()];
            columns.row([(leg.as_str(), tone)].into_iter().chain(cells.map(|text| (text, Tone::Plain))));
        }
        if legs.causes(leg).is_empty() {
            columns.plain([leg.as_str(), "does not stand", "", ""]);
        }
    }
    columns.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_policy::Cause;

    #[test]
    fn legs_are_told_with_their_first_reason() {
        let cause = |what: &str| Cause { what: what.into(), rule: "r".into(), remedy: "m".into() };
        let legs =
            Legs { private: vec![cause("a"), cause("b")], external: vec![cause("c")], ..Legs::default() };
        assert_eq!(line(&legs), "2 of 3 legs: private data (a and 1 more); external communication (c)");
        assert_eq!(line(&Legs::default()), "0 of 3 legs");
        let table = table(&legs);
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(table.contains("untrusted content       does not stand"), "{table}");
    }
}
