//! Rows that one model has right and another wrong.

use std::fmt::Write as _;

use super::escaped;
use crate::report::{Flips, TableData};

/// A line for each pair of models and task.
pub(super) fn flips(text: &mut String, table: &TableData, flips: &[Flips]) {
    if flips.is_empty() {
        return;
    }
    let _ = writeln!(text, "### Right and wrong, row by row\n");
    let _ = writeln!(
        text,
        "Rows that became wrong and right, with the p-value of McNemar's exact test.\n"
    );
    let _ = writeln!(
        text,
        "| model | compared with | | rows | right to wrong | wrong to right | p |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|");
    for found in flips {
        let prompt = if found.same_model {
            " (other prompt)"
        } else {
            ""
        };
        let tuned = if found.is_target { " (tuned)" } else { "" };
        let p = match found.p {
            p if p < 0.0001 => format!("{p:.0e}"),
            p => format!("{p:.4}"),
        };
        let _ = writeln!(
            text,
            "| {} | {}{prompt} | {}{tuned}, {}-shot | {} | {} | {} | {p} |",
            escaped(&found.model),
            escaped(&found.against),
            escaped(&table.title(&found.task)),
            found.shots,
            found.rows,
            found.lost,
            found.gained
        );
    }
    text.push('\n');
}
