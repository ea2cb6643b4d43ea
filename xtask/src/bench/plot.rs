//! Plots of what docs/BENCHMARKS.md says, made of its tables: docs/benchmarks/*.svg.

use crate::workspace::root;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;

/// One plot: a bar for each row of a table and each of these columns.
struct Plot {
    file: &'static str,
    title: &'static str,
    /// The first head of its table.
    table: &'static str,
    /// Numbers of the columns, with what their bars stand for.
    columns: &'static [(usize, &'static str)],
    /// Whether the axis is logarithmic; otherwise it begins at 0 and has a mark at 1.
    logarithmic: bool,
}

const PLOTS: &[Plot] = &[
    Plot {
        file: "start.svg",
        title: "Start of true, milliseconds (logarithmic; shorter is better)",
        table: "start of `true`",
        columns: &[(1, "")],
        logarithmic: true,
    },
    Plot {
        file: "files.svg",
        title: "Speed of file work inside, the host's own is 1 (longer is better)",
        table: "work in a project",
        columns: &[(3, "")],
        logarithmic: false,
    },
    Plot {
        file: "download.svg",
        title: "Download through the gate, a direct one is 1 (longer is better)",
        table: "download, 1 GiB",
        columns: &[(3, "gate"), (5, "srt")],
        logarithmic: false,
    },
];

const LABELS: f64 = 300.0;
const BARS: f64 = 330.0;
const WIDTH: f64 = LABELS + BARS + 80.0;
const ROW: f64 = 26.0;
const TOP: f64 = 44.0;
const MOST_OF_A_LABEL: usize = 44;

/// Writes them all.
pub(super) fn write() -> Result<()> {
    let document = root().join("docs/BENCHMARKS.md");
    let text =
        std::fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
    let directory = root().join("docs/benchmarks");
    std::fs::create_dir_all(&directory)?;
    for (file, svg) in plots(&text)? {
        let path = directory.join(file);
        std::fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Name and content of each.
fn plots(document: &str) -> Result<Vec<(&'static str, String)>> {
    PLOTS.iter().map(|plot| Ok((plot.file, plot.draw(&plot.bars(document)?)))).collect()
}

impl Plot {
    /// Label and value of each bar.
    fn bars(&self, document: &str) -> Result<Vec<(String, f64)>> {
        let lines = document.lines().skip_while(|line| cells(line).first() != Some(&self.table));
        let rows: Vec<Vec<&str>> =
            lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
        anyhow::ensure!(
            !rows.is_empty(),
            "docs/BENCHMARKS.md has no table that begins with {:?}",
            self.table
        );
        let mut bars = Vec::new();
        for row in rows {
            for (column, of) in self.columns {
                // What was not measured has no bar.
                let Some(value) = row.get(*column).and_then(|cell| cell.parse::<f64>().ok()) else {
                    continue;
                };
                let separator = if of.is_empty() { "" } else { ", " };
                bars.push((format!("{}{separator}{of}", row[0]), value));
            }
        }
        Ok(bars)
    }

    fn draw(&self, bars: &[(String, f64)]) -> String {
        let height = TOP + ROW * bars.len() as f64 + 14.0;
        let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        let least = bars.iter().map(|(_, value)| *value).fold(f64::MAX, f64::min);
        let floor = if self.logarithmic { 10_f64.powf(least.log10().floor()) } else { 0.0 };
        let length = |value: f64| {
            let part = if self.logarithmic {
                (value / floor).log10() / (most / floor).log10()
            } else {
                value / most
            };
            BARS * part
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\">\n\
             <style>text{{font:13px system-ui,sans-serif;fill:#1d2321}}.own{{fill:#1e6b4a}}.other{{fill:#9aa5a0}}.mark{{stroke:#9aa5a0;\
             stroke-dasharray:3 3}}.head{{font-weight:600}}@media(prefers-color-scheme:dark){{text{{fill:#e6e9e5}}.own{{fill:#7fd3a6}}\
             .other{{fill:#5c6663}}}}</style>\n<text class=\"head\" x=\"0\" y=\"18\">{0}</text>\n",
            escape(self.title)
        );
        if !self.logarithmic {
            let x = LABELS + length(1.0);
            let _ = writeln!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"32\" y2=\"{:.1}\"/>",
                height - 10.0
            );
        }
        for (at, (label, value)) in bars.iter().enumerate() {
            let y = TOP + ROW * at as f64;
            let own =
                label.contains("agentbox") || label.contains("gate") || self.table == "work in a project";
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{LABELS}\" y=\"{y:.1}\" width=\"{:.1}\" \
                 height=\"16\" rx=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{value}</text>",
                LABELS - 8.0,
                y + 13.0,
                escape(&short(label)),
                if own { "own" } else { "other" },
                length(*value).max(1.0),
                LABELS + length(*value) + 6.0,
                y + 13.0,
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// As long as there is room for; the table says all of it.
fn short(label: &str) -> String {
    let whole = label.chars().count() <= MOST_OF_A_LABEL;
    if whole { label.to_owned() } else { label.chars().take(MOST_OF_A_LABEL - 1).chain(['…']).collect() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "| start of `true` | median ms |\n| --- | --- |\n| bubblewrap | 8.00 |\n| agentbox: <own> | 0.80 |\n| absent | – |\n\n\
                          | work in a project | a | b | speed inside |\n| --- | --- | --- | --- |\n| git status | 1 | 1 | 0.50 |\n\n\
                          | download, 1 GiB | d | g | of direct | s | of direct |\n| - | - | - | - | - | - |\n| 1 stream | 1 | 1 | 0.81 | 1 | 0.20 |\n";

    #[test]
    fn every_number_of_a_table_is_a_bar_and_what_was_not_measured_is_none() {
        let plots = plots(TABLES).unwrap();
        let start = &plots[0].1;
        assert_eq!(start.matches("<rect").count(), 2, "{start}");
        assert!(start.contains("agentbox: &lt;own&gt;"), "{start}");
        assert_eq!(plots[2].1.matches("<rect").count(), 2);
        assert!(plots[2].1.contains("1 stream, srt"));
    }

    #[test]
    fn a_document_without_a_table_is_an_error() {
        assert!(plots("# nothing").unwrap_err().to_string().contains("start of `true`"));
    }

    #[test]
    fn the_plots_are_those_of_the_document() {
        let text = std::fs::read_to_string(root().join("docs/BENCHMARKS.md")).unwrap();
        for (file, svg) in plots(&text).unwrap() {
            let written = std::fs::read_to_string(root().join("docs/benchmarks").join(file)).unwrap();
            assert_eq!(written, svg, "{file}: run `cargo xtask bench plot`");
            assert!(text.contains(&format!("](benchmarks/{file})")), "{file} is shown nowhere");
        }
    }
}
