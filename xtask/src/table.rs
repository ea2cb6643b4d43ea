//! Plain tables: for a terminal and for Markdown.

/// A table with a head; cells are plain text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// Lines of text with aligned columns, the head underlined.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            out.push_str(pad(row, &widths, "  ").trim_end());
            out.push('\n');
            if at == 0 {
                let line: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                out.push_str(&line.join("  "));
                out.push('\n');
            }
        }
        out
    }

    /// A Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let row: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            out.push_str(&format!("| {} |\n", pad(&row, &widths, " | ")));
            if at == 0 {
                let line: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                out.push_str(&format!("| {} |\n", line.join(" | ")));
            }
        }
        out
    }
}

fn pad(row: &[String], widths: &[usize], between: &str) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let cell = row.get(column).map_or("", String::as_str);
        format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
    });
    cells.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["a", "long"]);
        table.row(["größer", "b|c"]);
        assert_eq!(table.text(), "a       long\n------  ----\ngrößer  b|c\n");
        assert_eq!(table.markdown(), "| a      | long |\n| ------ | ---- |\n| größer | b\\|c |\n");
    }
}
