//! Tables for people: aligned columns and nothing else, so that they can be copied and cut.

use sandboxer_model::error::UserError;

use super::color::Paint;
use super::json;

/// Blanks between two columns.
const GAP: usize = 2;

/// A table that is being filled.
pub(crate) struct Columns {
    paint: Paint,
    headlines: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// An empty table with these headlines; without any, only rows are printed.
    pub(crate) fn new(paint: Paint, headlines: &[&str]) -> Columns {
        Columns {
            paint,
            headlines: headlines.iter().map(|&text| text.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells may be colored.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text, ending in a newline.
    pub(crate) fn text(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in self.rows.iter().chain([&self.headlines]) {
            for (column, cell) in row.iter().enumerate() {
                match widths.get_mut(column) {
                    Some(width) => *width = (*width).max(visible(cell)),
                    None => widths.push(visible(cell)),
                }
            }
        }
        let mut text = String::new();
        if !self.headlines.is_empty() {
            text.push_str(&self.paint.dim(&line(&self.headlines, &widths)));
            text.push('\n');
        }
        for row in &self.rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn print(&self) -> Result<(), UserError> {
        json::print_text(&self.text())
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        text.push_str(&" ".repeat(width + GAP - visible(cell)));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Characters of a cell that are seen: escape sequences for color are not.
fn visible(cell: &str) -> usize {
    let mut seen = 0;
    let mut escaped = false;
    for c in cell.chars() {
        match c {
            '\u{1b}' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => seen += 1,
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_color() {
        let mut table = Columns::new(Paint::Plain, &["ID", "STATE", "X"]);
        table.row(["a".to_owned(), Paint::Colored.good("ready"), "1".to_owned()]);
        table.row(["longer".to_owned(), "destroyed".to_owned(), "2".to_owned()]);
        assert_eq!(
            table.text(),
            "ID      STATE      X\na       \u{1b}[32mready\u{1b}[0m      1\nlonger  destroyed  2\n"
        );
    }
}
