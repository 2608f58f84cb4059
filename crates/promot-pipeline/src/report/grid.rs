//! The numbers of a report as plain grids, whatever measured them: what means over seeds are made of.

use super::{AlignmentData, CurveData, Report, TableData};

/// Numbers with names for rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    /// Where it comes from, for people to read.
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// Each row's name and its numbers, as many as there are columns.
    pub(super) rows: Vec<(String, Vec<Option<f64>>)>,
}

/// All grids of a report.
pub(super) fn grids(report: &Report) -> Vec<Grid> {
    let tables = report
        .tables
        .iter()
        .map(|(stage, data)| of_table(stage, data));
    let curves = report
        .curves
        .iter()
        .flat_map(|(stage, data)| of_curves(stage, data));
    let alignments = report
        .alignments
        .iter()
        .map(|(stage, data)| of_alignment(stage, data));
    tables.chain(curves).chain(alignments).collect()
}

/// A column for each model and number of worked examples.
fn of_table(stage: &str, data: &TableData) -> Grid {
    let shots = data.shots();
    let columns: Vec<(&str, Option<usize>)> = data
        .models
        .iter()
        .flat_map(|model| match shots.as_slice() {
            [] => vec![(model.as_str(), None)],
            shots => shots.iter().map(|&k| (model.as_str(), Some(k))).collect(),
        })
        .collect();
    let row = |name: String, value: &dyn Fn(&str, usize) -> Option<f64>| {
        let of_column = |&(model, shots): &(&str, Option<usize>)| value(model, shots?);
        (name, columns.iter().map(of_column).collect())
    };
    let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    for task in data.tasks(true) {
        // Targets have no worked examples: their score stands in each model's first column.
        let first = shots.first().copied();
        let of_column = |&(model, shots): &(&str, Option<usize>)| {
            let cell = data.cell(model, task, 0, true)?;
            (shots == first).then_some(cell.record.value)
        };
        let name = format!("{} (tuned, 0-shot)", data.title(task));
        rows.push((name, columns.iter().map(of_column).collect()));
    }
    if !shots.is_empty() {
        let average = |model: &str, shots| data.normalized_average(model, shots);
        rows.push(row("Norm. Avg.".to_owned(), &average));
    }
    if data
        .cells
        .iter()
        .any(|cell| cell.record.format_share.is_some())
    {
        let score = |model: &str, shots| Some(data.foreign(model, shots)?.0);
        let share = |model: &str, shots| Some(data.foreign(model, shots)?.1);
        rows.push(row("foreign formats".to_owned(), &score));
        rows.push(row("answers in the target's format, %".to_owned(), &share));
    }
    for task in data.tasks(false) {
        let value = |model: &str, shots| Some(data.cell(model, task, shots, false)?.record.value);
        rows.push(row(data.title(task), &value));
    }
    Grid {
        name: stage.to_owned(),
        columns: columns
            .iter()
            .map(|(model, shots)| match shots {
                Some(shots) => format!("{model}, {shots}-shot"),
                None => (*model).to_owned(),
            })
            .collect(),
        rows,
    }
}

/// A grid for each series, with a row for each of its points.
fn of_curves(stage: &str, data: &CurveData) -> Vec<Grid> {
    let table = &data.table;
    let shots = table.shots().first().copied();
    let targets = table.tasks(true);
    let mut columns: Vec<String> = targets.iter().map(|task| table.title(task)).collect();
    columns.extend(
        [
            "Norm. Avg.",
            "foreign formats",
            "answers in the target's format, %",
        ]
        .map(str::to_owned),
    );
    let of_series = |series: &super::CurveSeries| {
        let rows = series.points.iter().map(|point| {
            let column = point.column.as_str();
            let mut values: Vec<Option<f64>> = targets
                .iter()
                .map(|task| Some(table.cell(column, task, 0, true)?.record.value))
                .collect();
            let foreign = shots.and_then(|shots| table.foreign(column, shots));
            values.push(shots.and_then(|shots| table.normalized_average(column, shots)));
            values.push(foreign.map(|(score, _)| score));
            values.push(foreign.map(|(_, share)| share));
            (format!("step {}", point.step), values)
        });
        Grid {
            name: format!("{stage}: {}", series.model),
            columns: columns.clone(),
            rows: rows.collect(),
        }
    };
    data.series.iter().map(of_series).collect()
}

/// A row for each group of parameters, a column for each checkpoint.
fn of_alignment(stage: &str, data: &AlignmentData) -> Grid {
    let mut checkpoints: Vec<(&str, u64)> = Vec::new();
    let mut groups: Vec<&str> = Vec::new();
    for point in &data.points {
        let checkpoint = (point.model.as_str(), point.step);
        if !checkpoints.contains(&checkpoint) {
            checkpoints.push(checkpoint);
        }
        if !groups.contains(&point.group.as_str()) {
            groups.push(&point.group);
        }
    }
    let value = |group: &str, (model, step): (&str, u64)| {
        let mut points = data.points.iter();
        let found = points.find(|p| p.group == group && p.model == model && p.step == step);
        found.map(|point| point.cosine)
    };
    let row = |group: &&str| {
        let values = checkpoints
            .iter()
            .map(|&checkpoint| value(group, checkpoint));
        ((*group).to_owned(), values.collect())
    };
    Grid {
        name: stage.to_owned(),
        columns: checkpoints
            .iter()
            .map(|(model, step)| format!("{model} @{step}"))
            .collect(),
        rows: groups.iter().map(row).collect(),
    }
}
