//! The same as one page that needs nothing else: no script, no font, no network.

use crate::holder::{HOLDERS, Holder};
use crate::report::{Report, Trial, Verdict};
use crate::table::{Cell, THREATS, control_text, matrix};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// The page. `when` is [`Report::begun_unix_s`] in words.
#[must_use]
pub fn page(report: &Report, when: &str) -> String {
    let title = format!("agentbox verify: {}", report.chosen.posture);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{STYLE}</style></head><body><main>\n",
        escape(&title)
    );
    head(report, when, &mut html);
    table(report, &mut html);
    attacks(report, &mut html);
    rest(report, &mut html);
    html.push_str("</main></body></html>\n");
    html
}

fn head(report: &Report, when: &str, html: &mut String) {
    let (tried, shown) = report.tried();
    let worked = report.count(Verdict::Worked);
    let (tone, verdict) = match (worked, report.posture_diff.is_empty()) {
        (0, true) => ("good", "Every attack that was tried was stopped or told".to_owned()),
        (0, false) => ("bad", "The session is not held as its policy says".to_owned()),
        (1, _) => ("bad", "One attack worked".to_owned()),
        (worked, _) => ("bad", format!("{worked} attacks worked")),
    };
    let _ = write!(
        html,
        "<header class=\"{tone}\"><p class=\"name\">agentbox verify</p><h1>{verdict}</h1><p class=\"facts\">"
    );
    let chosen = &report.chosen;
    for (name, value) in [
        ("posture", &chosen.posture),
        ("network", &chosen.network),
        ("workspace", &chosen.workspace),
        ("guard", &chosen.guard),
        ("profile", &chosen.profile),
        ("kernel", &report.kernel),
        ("agentbox", &report.version),
    ] {
        if !value.is_empty() {
            let _ = write!(html, "<span><b>{name}</b> {}</span>", escape(value));
        }
    }
    let _ = write!(html, "<span><b>when</b> {}</span></p></header>\n<dl class=\"numbers\">", escape(when));
    for (number, what) in [
        (tried, "tried inside"),
        (shown, "seen to work outside first"),
        (report.count(Verdict::Stopped), "stopped"),
        (report.count(Verdict::Told), "told"),
        (worked, "worked"),
    ] {
        let _ = write!(html, "<div><dt>{what}</dt><dd>{number}</dd></div>");
    }
    html.push_str("</dl>\n");
}

fn table(report: &Report, html: &mut String) {
    html.push_str("<h2>What held what</h2><p>Attacks tried, by threat and by the control that stands in their way. A red cell \
                   says how many of them worked.</p><div class=\"wide\"><table><thead><tr><th></th>");
    for (threat, name) in THREATS {
        let _ = write!(html, "<th><abbr title=\"{name}\">{threat}</abbr><small>{name}</small></th>");
    }
    html.push_str("</tr></thead><tbody>");
    for (holder, cells) in matrix(report) {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(holder.name));
        for cell in cells {
            let class = match cell {
                Cell { tried: 0, .. } => "none",
                Cell { worked: 0, .. } => "held",
                _ => "broken",
            };
            let _ = write!(html, "<td class=\"{class}\">{}</td>", cell.text());
        }
        html.push_str("</tr>");
    }
    html.push_str(
        "</tbody></table></div><details class=\"legend\"><summary>What these controls are</summary><dl>",
    );
    for Holder { name, what, claudecker, .. } in HOLDERS {
        let _ = write!(html, "<dt>{name}</dt><dd>{}", escape(what));
        if !claudecker.is_empty() {
            let _ = write!(html, " <small>In Claudecker's table: {claudecker}.</small>");
        }
        html.push_str("</dd>");
    }
    html.push_str("</dl></details>\n");
}

fn attacks(report: &Report, html: &mut String) {
    html.push_str("<h2>Every attack</h2>");
    for (threat, name) in THREATS {
        let mine: Vec<&Trial> = report.trials.iter().filter(|trial| trial.threat == threat).collect();
        if mine.is_empty() {
            let _ = writeln!(
                html,
                "<p class=\"threat plain\"><b>{threat}</b> {name} <small>what a package runs, it runs inside: it tries what stands under \
                 the other threats, and the table counts what it would try first</small></p>"
            );
            continue;
        }
        let worked = mine.iter().any(|trial| trial.verdict == Verdict::Worked);
        let judged = mine.iter().filter(|trial| trial.verdict.is_judged()).count();
        let _ = write!(
            html,
            "<details class=\"threat\"{}><summary><b>{threat}</b> {name} <small>{judged} tried, {} only listed</small></summary>",
            if worked { " open" } else { "" },
            mine.len() - judged,
        );
        mine.iter().for_each(|trial| attack(trial, html));
        html.push_str("</details>\n");
    }
}

fn attack(trial: &Trial, html: &mut String) {
    let class = match trial.verdict {
        Verdict::Stopped => "good",
        Verdict::Told | Verdict::Granted | Verdict::NotPromised => "told",
        Verdict::Worked => "bad",
        Verdict::NothingHere | Verdict::RigOnly => "none",
    };
    let holder = HOLDERS.iter().find(|holder| holder.id == trial.held_by);
    let _ = write!(
        html,
        "<details class=\"attack\"{}><summary><span class=\"word {class}\">{}</span> {}</summary><dl><dt>attack</dt><dd><code>{}</code></dd>\
         <dt>outside</dt><dd>{}</dd><dt>inside</dt><dd>{}</dd><dt>held by</dt><dd>{}</dd></dl></details>",
        if trial.verdict == Verdict::Worked { " open" } else { "" },
        trial.verdict.word(),
        escape(&trial.title),
        escape(&trial.id),
        escape(&control_text(&trial.control)),
        escape(&trial.detail),
        escape(holder.map_or("", |holder| holder.name)),
    );
}

fn rest(report: &Report, html: &mut String) {
    if !report.posture_diff.is_empty() {
        html.push_str("<h2>Where the kernel shows something else than the policy says</h2><ul>");
        for line in &report.posture_diff {
            let _ = write!(html, "<li><code>{}</code></li>", escape(line));
        }
        html.push_str("</ul>");
    }
    html.push_str("<h2>What stays</h2><ul class=\"residual\">");
    for residual in &report.residual {
        let _ =
            write!(html, "<li>{}<small>{}</small></li>", escape(&residual.risk), escape(&residual.remedy));
    }
    let _ = write!(
        html,
        "</ul><footer>{} attacks need a network or a machine of a test's own; they run where agentbox is tested. {} have nothing to \
         attack on this machine. Took {}.{:03} s. Policy {}.</footer>",
        report.count(Verdict::RigOnly),
        report.count(Verdict::NothingHere),
        report.took_ms / 1000,
        report.took_ms % 1000,
        escape(&report.chosen.policy_hash),
    );
}

/// What an attack said may hold anything: it stays text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Directions of text and control characters would make it look like something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::report;

    #[test]
    fn what_programs_said_stays_text() {
        let mut report = report();
        report.trials[1].detail = "<script>alert(1)</script>\u{202e}\x1b[2J".to_owned();
        let html = page(&report, "now");
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
        assert!(!html.contains('\x1b') && !html.contains('\u{202e}'));
        assert!(html.contains("do &lt;something&gt;"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page(&report(), "now");
        for foreign in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        // Whatever opens is closed.
        for element in ["details", "table", "dl", "ul", "header", "main", "body", "html", "small", "span"] {
            let opened =
                html.matches(&format!("<{element}>")).count() + html.matches(&format!("<{element} ")).count();
            assert_eq!(opened, html.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn an_attack_that_worked_is_open_and_red() {
        let html = page(&report(), "now");
        assert!(html.contains("One attack worked"), "{html}");
        assert!(
            html.contains("<details class=\"attack\" open><summary><span class=\"word bad\">WORKED"),
            "{html}"
        );
    }
}
