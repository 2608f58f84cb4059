//! Tables for a terminal.

use super::{LEGEND, TableData, rows};

/// The table in columns of aligned text.
pub fn terminal(data: &TableData) -> String {
    let table = rows(data);
    let mut lines = vec![table.header];
    lines.extend(table.rows);
    format!("{}{LEGEND}\n", aligned(&lines))
}

/// Lines of as many cells each, in columns: the first to the left, the others to the right. The first line
/// is underlined.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                let fill = " ".repeat(width - cell.chars().count());
                if column == 0 {
                    format!("{cell}{fill}")
                } else {
                    format!("{fill}{cell}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if i == 0 {
            let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            text.push_str(&rule.join("  "));
            text.push('\n');
        }
    }
    text
}
