//! Tables for people: columns without lines, colour only where a terminal shows it.

use crate::output::{colour, escape};
use crate::terminal::is_terminal;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// How a cell stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Not at all.
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Something is wrong.
    Bad,
}

/// A table that is being filled. What it is given it escapes.
#[derive(Debug)]
pub(crate) struct Columns {
    table: Table,
    coloured: bool,
    widths: usize,
}

impl Columns {
    /// A table with these heads.
    pub(crate) fn new(heads: &[&str]) -> Self {
        let terminal = is_terminal(std::io::stdout());
        Self::drawn(heads, terminal, colour::wanted())
    }

    fn drawn(heads: &[&str], terminal: bool, coloured: bool) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // A program that reads columns must find a row in one line.
        let arrangement = if terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        if coloured {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if terminal {
            table.set_width(crate::terminal::size().columns.max(40));
        }
        let head = |text: &&str| {
            let cell = Cell::new(text);
            if coloured { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(heads.iter().map(head));
        Self { table, coloured, widths: heads.len() }
    }

    /// Adds a row.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Tone)>) {
        let coloured = self.coloured;
        let cells = cells.into_iter().map(|(text, tone)| {
            let cell = Cell::new(escape::name(text));
            match tone {
                Tone::Good if coloured => cell.fg(Color::Green),
                Tone::Warning if coloured => cell.fg(Color::Yellow),
                Tone::Bad if coloured => cell.fg(Color::Red),
                _ => cell,
            }
        });
        self.table.add_row(cells);
    }

    /// Adds a row without colours.
    pub(crate) fn plain<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.row(cells.into_iter().map(|text| (text, Tone::Plain)));
    }

    /// The table as text.
    pub(crate) fn finish(mut self) -> String {
        for index in 0..self.widths {
            if let Some(column) = self.table.column_mut(index) {
                column.set_padding((0, 2));
            }
        }
        let mut text = String::new();
        for line in self.table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_and_names_are_escaped() {
        let mut columns = Columns::drawn(&["ID", "PROJECT"], false, false);
        columns.row([("abc", Tone::Good), ("/tmp/\x1b[31m\nx", Tone::Plain)]);
        let text = columns.finish();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\x1b'));
        assert!(text.starts_with("ID   PROJECT\nabc  /tmp/\\x1b[31m\\nx"), "{text}");
    }
}
