//! Scores of models at their checkpoints (paper figures 1, 2, 5 and 6).

use promot_data::metric::share_margin;

use super::{Line, Plot, Point, Topic, tradeoff};
use crate::report::{Cell, CurveData, CurvePoint, TableData};

/// A value with half the width of its 95% interval.
type Estimate = (f64, f64);

/// The target's scores, the means, the format's share, and what is traded for what.
pub(super) fn plots(stage: &str, data: &CurveData) -> Vec<Plot> {
    let table = &data.table;
    let figure = |title: String, y: &str, measure: &dyn Fn(&str) -> Option<Estimate>| Plot {
        topic: Topic::Checkpoints,
        stage: Some(stage.to_owned()),
        title,
        x: "steps".to_owned(),
        y: y.to_owned(),
        is_percent: true,
        lines: lines(stage, data, measure),
    };
    let mut plots = Vec::new();
    for task in table.tasks(true) {
        let title = format!("{} (tuned, 0-shot)", table.title(task));
        plots.push(figure(title, "score", &|column| {
            let record = &table.cell(column, task, 0, true)?.record;
            Some((record.value, record.margin))
        }));
    }
    for shots in table.shots() {
        let title = format!("Norm. Avg., {shots}-shot");
        plots.push(figure(title, "mean score", &|column| {
            mean(table, column, shots, |cell| {
                Some((cell.record.value, cell.record.margin))
            })
        }));
        let title = format!("Foreign formats, {shots}-shot");
        plots.push(figure(title, "mean score", &|column| {
            mean(table, column, shots, |cell| {
                cell.record.format_share?;
                Some((cell.record.value, cell.record.margin))
            })
        }));
        let title = format!("Answers in the target's format, {shots}-shot");
        plots.push(figure(title, "% of answers", &|column| {
            mean(table, column, shots, share)
        }));
    }
    plots.extend(tradeoff::of_checkpoints(stage, data));
    plots
}

fn lines(stage: &str, data: &CurveData, measure: &dyn Fn(&str) -> Option<Estimate>) -> Vec<Line> {
    let point = |point: &CurvePoint| {
        let (value, margin) = measure(&point.column)?;
        Some(Point::at(point.step, value).with_margin(margin))
    };
    let series = data.series.iter();
    series
        .map(|series| Line {
            stage: stage.to_owned(),
            name: series.model.clone(),
            points: series.points.iter().filter_map(point).collect(),
        })
        .collect()
}

/// The mean over evaluation tasks. Their rows are drawn independently, so squares of margins add up.
fn mean(
    table: &TableData,
    column: &str,
    shots: usize,
    measure: impl Fn(&Cell) -> Option<Estimate>,
) -> Option<Estimate> {
    let cells = table.cells.iter();
    let of_column =
        cells.filter(|cell| !cell.is_target && cell.model == column && cell.record.shots == shots);
    let estimates: Vec<Estimate> = of_column.filter_map(measure).collect();
    let count = estimates.len() as f64;
    let sum: f64 = estimates.iter().map(|(value, _)| value).sum();
    let squares: f64 = estimates.iter().map(|(_, margin)| margin * margin).sum();
    (!estimates.is_empty()).then(|| (sum / count, squares.sqrt() / count))
}

/// The share of answers in the target's format.
fn share(cell: &Cell) -> Option<Estimate> {
    let (share, rows) = (cell.record.format_share?, cell.record.samples);
    if rows == 0 {
        return None;
    }
    let hits = (share / 100.0 * rows as f64).round() as usize;
    Some((share, share_margin(hits.min(rows), rows)))
}
