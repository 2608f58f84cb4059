//! What is gained on the target against what is kept elsewhere (paper figures 5 and 6).

use super::{Line, Plot, Point, Topic};
use crate::report::{CurveData, TableData};

/// A point for each checkpoint, a line for each model.
pub(super) fn of_checkpoints(stage: &str, data: &CurveData) -> Vec<Plot> {
    let series = data.series.iter().map(|series| {
        let points = series.points.iter();
        let columns = points.map(|point| (Some(point.step), point.column.as_str()));
        (series.model.as_str(), columns.collect())
    });
    plots(stage, &data.table, &series.collect::<Vec<_>>())
}

/// A point for each model of a table.
pub(super) fn of_models(stage: &str, table: &TableData) -> Vec<Plot> {
    let models = table.models.iter().map(String::as_str);
    let series: Vec<Series<'_>> = models.map(|model| (model, vec![(None, model)])).collect();
    plots(stage, table, &series)
}

/// A line's name with the columns of its points.
type Series<'a> = (&'a str, Vec<(Option<u64>, &'a str)>);

fn plots(stage: &str, table: &TableData, series: &[Series<'_>]) -> Vec<Plot> {
    let Some(&target) = table.tasks(true).first() else {
        return Vec::new();
    };
    let target_score = |column: &str| {
        let cell = table.cell(column, target, 0, true)?;
        Some(cell.record.value)
    };
    let mut plots = Vec::new();
    for shots in table.shots() {
        let mut add = |what: &str, value: &dyn Fn(&str) -> Option<f64>| {
            let point = |&(step, column): &(Option<u64>, &str)| {
                Some(Point {
                    step,
                    x: target_score(column)?,
                    y: value(column)?,
                    low: None,
                    high: None,
                })
            };
            let lines = series.iter().map(|(name, columns)| Line {
                stage: stage.to_owned(),
                name: (*name).to_owned(),
                points: columns.iter().filter_map(point).collect(),
            });
            plots.push(Plot {
                topic: Topic::Tradeoff,
                stage: Some(stage.to_owned()),
                title: format!("{what}, {shots}-shot, against {}", table.title(target)),
                x: format!("{} (tuned)", table.title(target)),
                y: what.to_owned(),
                is_percent: true,
                lines: lines.collect(),
            });
        };
        add("Norm. Avg.", &|column| {
            table.normalized_average(column, shots)
        });
        add("foreign formats", &|column| {
            table.foreign(column, shots).map(|(score, _)| score)
        });
    }
    plots
}
