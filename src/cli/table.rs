//! Tables of text for a person: columns as wide as what is in them, numbers to the right.

use super::paint::harmless;

/// The longest cell that is not the last one of its row.
const CELL_MAX: usize = 60;
const GAP: &str = "  ";

/// A table being filled.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&name| name.to_owned()).collect()] }
    }

    /// Adds a row. Nothing in a cell can steer the terminal.
    pub(super) fn row(&mut self, cells: &[&str]) {
        let last = cells.len().saturating_sub(1);
        let cell = |(at, text): (usize, &&str)| {
            let text = harmless(text);
            if at == last || text.chars().count() <= CELL_MAX {
                return text;
            }
            let cut: String = text.chars().take(CELL_MAX - 1).collect();
            format!("{cut}…")
        };
        self.rows.push(cells.iter().enumerate().map(cell).collect());
    }

    /// The table's lines.
    pub(super) fn to_text(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let of_column = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let width = |at: usize| of_column(at).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_number =
            |cell: &String| cell == "-" || cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let shapes: Vec<(usize, bool)> =
            (0..columns).map(|at| (width(at), of_column(at).skip(1).all(is_number))).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&shapes).map(|(cell, shape)| padded(cell, *shape)).collect();
            text.push_str(cells.join(GAP).trim_end());
            text.push('\n');
        }
        text
    }
}

fn padded(cell: &str, (width, is_number): (usize, bool)) -> String {
    if is_number { format!("{cell:>width$}") } else { format!("{cell:width$}") }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up_and_cells_stay_in_their_line() {
        let mut table = Table::new(&["GROUP", "LAG", "ERROR"]);
        table.row(&["inventory-sync", "7", "a\nb\u{1b}[2J"]);
        table.row(&["ä", "-", ""]);
        table.row(&[&"x".repeat(70), "1234.5", &"y".repeat(70)]);
        let text = table.to_text();
        let lines: Vec<&str> = text.lines().collect();
        let group = "x".repeat(59) + "…";
        assert_eq!(lines[0], format!("{:60}     LAG  ERROR", "GROUP"));
        assert_eq!(lines[1], format!("{:60}       7  a\\nb\\u001b[2J", "inventory-sync"));
        assert_eq!(lines[2], format!("{:60}       -", "ä"));
        assert_eq!(lines[3], format!("{group}  1234.5  {}", "y".repeat(70)));
        assert_eq!(Table::new(&["A"]).to_text(), "A\n");
    }
}
