//! Curves as tables for a terminal: a row for each checkpoint.

use std::fmt::Write as _;

use super::table::aligned;
use super::{CurveData, Rows};

/// A table for each model, in columns of aligned text.
pub fn terminal_curves(data: &CurveData) -> String {
    let mut text = String::new();
    for (i, rows) in curve_rows(data).into_iter().enumerate() {
        let gap = if i == 0 { "" } else { "\n" };
        let _ = write!(text, "{gap}{}", aligned(&rows));
    }
    text
}

/// For each model its rows: a checkpoint's scores on the targets, and with each number of worked examples
/// the average, the mean of foreign formats and the share of answers in the target's format.
fn curve_rows(data: &CurveData) -> Vec<Rows> {
    let table = &data.table;
    let (targets, shots) = (table.tasks(true), table.shots());
    let records = || table.cells.iter().map(|cell| &cell.record);
    let is_foreign = |k: usize| records().any(|r| r.shots == k && r.format_share.is_some());
    let score = |score: Option<f64>| score.map_or("-".to_owned(), |score| format!("{score:.1}"));
    let rows_of = |series: &super::CurveSeries| {
        let mut header = vec![format!("{}, step", series.model)];
        let titles = targets.iter().map(|task| table.title(task));
        header.extend(titles.map(|title| format!("{title} (tuned, 0-shot)")));
        for &k in &shots {
            header.push(format!("Norm. Avg., {k}-shot"));
            if is_foreign(k) {
                header.push(format!("foreign formats, {k}-shot"));
                header.push("in the target's format, %".to_owned());
            }
        }
        let row = |point: &super::CurvePoint| {
            let column = &point.column;
            let mut row = vec![point.step.to_string()];
            for task in &targets {
                let cell = table.cell(column, task, 0, true);
                let mark = match cell {
                    Some(cell) if cell.with_prompt => " [prompt]",
                    _ => "",
                };
                row.push(score(cell.map(|cell| cell.record.value)) + mark);
            }
            for &k in &shots {
                row.push(score(table.normalized_average(column, k)));
                if is_foreign(k) {
                    let (value, share) = table.foreign(column, k).unzip();
                    row.extend([score(value), score(share)]);
                }
            }
            row
        };
        Rows {
            header,
            rows: series.points.iter().map(row).collect(),
        }
    };
    data.series.iter().map(rows_of).collect()
}
