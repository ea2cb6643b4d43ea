//! `inspect`: risks in a directory, and which posture fits. Needs no supervisor and changes nothing.

use super::environment;
use crate::account::own_home;
use crate::arguments::Inspect;
use crate::errors::Failure;
use crate::layers;
use crate::output::table::{Columns, Tone};
use crate::output::{escape, print, print_json};
use crate::own_files;
use crate::project::Project;
use agentbox_policy::{Finding, Inspection, Recommendation, Sign};
use serde::Serialize;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    path: &'a str,
    findings: &'a [Finding],
    recommendation: Option<Recommendation>,
}

pub(super) fn run(inspect: &Inspect) -> Result<u8, Failure> {
    let home = own_home();
    let person = home.as_deref().and_then(|home| layers::person_layer(home).ok().flatten());
    let project = Project::open(inspect.project.as_deref(), person.as_ref(), home.as_deref())?;
    let found = own_files::inspect(&project, home.as_deref(), &environment())?;
    if inspect.json {
        let recommendation = found.recommendation();
        print_json(&Answer { path: &project.path, findings: &found.findings, recommendation })?;
    } else {
        print(&words(&project.path, &found))?;
    }
    Ok(0)
}

fn words(path: &str, found: &Inspection) -> String {
    let path = escape::name(path);
    if found.findings.is_empty() {
        return format!("{path}: nothing was found that asks for more than the usual\n");
    }
    let mut columns = Columns::new(&["SIGN", "PLACE", "WHAT"]);
    for finding in &found.findings {
        let tone = match finding.sign {
            Sign::PrivateRemote | Sign::ForeignRemote | Sign::Unread => Tone::Plain,
            Sign::BroadRule | Sign::Bypass | Sign::Redirect | Sign::Hook => Tone::Bad,
            _ => Tone::Warning,
        };
        columns.row([
            (finding.sign.as_str(), tone),
            (finding.place.as_str(), Tone::Plain),
            (finding.what.as_str(), Tone::Plain),
        ]);
    }
    format!("{}\n{path}: {}\n", columns.finish(), advice(found.recommendation().as_ref()))
}

fn advice(recommended: Option<&Recommendation>) -> String {
    let Some(recommended) = recommended else { return "nothing asks for more than the usual".to_owned() };
    let mut text = format!("recommended: --posture {}", recommended.posture);
    if let Some(network) = recommended.network {
        text.push_str(&format!(" --network {network}"));
    }
    if let Some(workspace) = recommended.workspace {
        text.push_str(&format!(" --workspace {workspace}"));
    }
    text.push_str(&format!(" ({})", recommended.reasons()));
    if recommended.elsewhere {
        text.push_str(
            "\nbetter still: a machine that holds nothing one would mind losing (L4, not in this version)",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_project_says_about_itself_is_escaped() {
        let finding =
            Finding { sign: Sign::Server, place: ".mcp.json".into(), what: "`\x1b[2J`: runs `x\ny`".into() };
        let text = words("/p\x1b", &Inspection { findings: vec![finding] });
        assert!(!text.contains('\x1b') && text.contains("\\x1b[2J"), "{text}");
        assert!(text.contains("--posture L2 --network allowlist (tool server)"), "{text}");
        assert!(text.contains("L4"), "{text}");
    }
}
