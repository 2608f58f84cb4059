//! Reports of several seeds put together: means with their intervals.

use promot_data::metric::mean_interval;
use serde::{Deserialize, Serialize};

use super::grid::{Grid, grids};
use super::markdown::{escaped, table};
use super::{Report, Rows};

/// What a matrix of runs came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixSummary {
    /// The pipeline's name.
    pub pipeline: String,
    /// One for each combination of settings other than the seed.
    pub groups: Vec<MatrixGroup>,
}

/// Runs that differ in their seeds only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixGroup {
    /// The settings that the runs share, for people to read; empty if the matrix has seeds only.
    pub settings: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What was measured.
    pub tables: Vec<MatrixTable>,
}

/// Means of all numbers of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixTable {
    /// The stage, and what of it if it has several tables.
    pub name: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<MatrixRow>,
}

/// One row of means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixRow {
    /// Its name.
    pub name: String,
    /// A mean for each column, where something was measured.
    pub cells: Vec<Option<MatrixCell>>,
}

/// One mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixCell {
    /// The mean over seeds.
    pub mean: f64,
    /// Half of its 95% interval (Student's t); none of a single seed.
    pub margin: Option<f64>,
    /// Each seed's value.
    pub values: Vec<f64>,
}

impl MatrixGroup {
    /// Puts reports of the same pipeline with different seeds together.
    pub fn new(settings: String, reports: &[Report]) -> Self {
        let all: Vec<Vec<Grid>> = reports.iter().map(grids).collect();
        let table = |(index, first): (usize, &Grid)| {
            let same: Vec<&Grid> = all.iter().map(|grids| &grids[index]).collect();
            summarize(first, &same)
        };
        let first = all.first().map_or(&[][..], Vec::as_slice);
        Self {
            settings,
            seeds: reports.iter().map(|report| report.seed).collect(),
            tables: first.iter().enumerate().map(table).collect(),
        }
    }

    /// What the group is, for people to read.
    pub(super) fn heading(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let seeds = match seeds.len() {
            1 => format!("seed {}", seeds[0]),
            _ => format!("mean of seeds {}", seeds.join(", ")),
        };
        match self.settings.as_str() {
            "" => seeds,
            settings => format!("{settings}; {seeds}"),
        }
    }
}

fn summarize(first: &Grid, same: &[&Grid]) -> MatrixTable {
    let cell = |row: usize, column: usize| {
        let values: Option<Vec<f64>> = same.iter().map(|grid| grid.rows[row].1[column]).collect();
        let values = values?;
        let interval = mean_interval(&values);
        Some(MatrixCell {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            margin: interval.map(|interval| (interval.high - interval.low) / 2.0),
            values,
        })
    };
    let columns = 0..first.columns.len();
    let rows = first
        .rows
        .iter()
        .enumerate()
        .map(|(row, (name, _))| MatrixRow {
            name: name.clone(),
            cells: columns.clone().map(|column| cell(row, column)).collect(),
        });
    MatrixTable {
        name: first.name.clone(),
        columns: first.columns.clone(),
        rows: rows.collect(),
    }
}

impl MatrixTable {
    /// Decimals that are shown: cosines are between -1 and 1, scores between 0 and 100.
    pub(super) fn digits(&self) -> usize {
        let mut cells = self.rows.iter().flat_map(|row| row.cells.iter().flatten());
        if cells.all(|cell| cell.mean.abs() <= 1.0) {
            3
        } else {
            1
        }
    }

    fn rows(&self) -> Rows {
        let digits = self.digits();
        let show = |cell: &Option<MatrixCell>| match cell {
            None => "-".to_owned(),
            Some(MatrixCell {
                mean,
                margin: Some(margin),
                ..
            }) => {
                format!("{mean:.digits$} ±{margin:.digits$}")
            }
            Some(MatrixCell { mean, .. }) => format!("{mean:.digits$}"),
        };
        let row = |row: &MatrixRow| {
            let mut cells = vec![row.name.clone()];
            cells.extend(row.cells.iter().map(show));
            cells
        };
        let mut header = vec![String::new()];
        header.extend(self.columns.iter().cloned());
        Rows {
            header,
            rows: self.rows.iter().map(row).collect(),
        }
    }
}

impl MatrixSummary {
    /// All tables, as `lay_out` shows their rows, each under its heading, which `title` makes of a text.
    fn show(&self, title: impl Fn(&str) -> String, lay_out: fn(&Rows) -> String) -> String {
        let mut text = String::new();
        for group in &self.groups {
            for table in &group.tables {
                text += &title(&format!("{} ({})", table.name, group.heading()));
                text += "\n\n";
                text += &lay_out(&table.rows());
                text.push('\n');
            }
        }
        text
    }

    /// The tables for a terminal.
    pub fn terminal(&self) -> String {
        let tables = self.show(
            |title| format!("{}: {title}", self.pipeline),
            super::table::aligned,
        );
        format!("{tables}{LEGEND}\n")
    }

    /// The tables in Markdown.
    pub fn markdown(&self) -> String {
        let tables = self.show(|title| format!("## {}", escaped(title)), table);
        format!("# {}\n\n{tables}{LEGEND}\n", escaped(&self.pipeline))
    }
}

/// What the numbers mean.
pub(super) const LEGEND: &str = "mean over seeds ±half of its 95% interval (Student's t)";
