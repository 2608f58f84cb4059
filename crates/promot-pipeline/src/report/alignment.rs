//! How much of a gradient is that of the target's format (paper figures 3 and 7).

use serde::{Deserialize, Serialize};

use super::Rows;
use super::table::aligned;

/// Cosines between the full gradient and the format gradient, by checkpoint and group of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlignmentData {
    /// Batches that the cosines are means over.
    pub batches: usize,
    /// Rows in each of them.
    pub batch_size: usize,
    /// All measured values, by model, step and group.
    pub points: Vec<AlignmentPoint>,
}

/// One model's checkpoint and one group of its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlignmentPoint {
    /// The model's name in the report.
    pub model: String,
    /// Optimizer steps done.
    pub step: u64,
    /// The group, for example `last decoder layer: query`.
    pub group: String,
    /// Mean cosine, in [-1, 1].
    pub cosine: f64,
    /// The lower end of its 95% interval over batches.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl AlignmentData {
    /// A table for the terminal: a row for each group of parameters, a column for each model at each
    /// checkpoint.
    pub fn table(&self) -> String {
        let mut columns: Vec<(&str, u64)> = Vec::new();
        let mut groups: Vec<&str> = Vec::new();
        for point in &self.points {
            if !columns.contains(&(&point.model, point.step)) {
                columns.push((&point.model, point.step));
            }
            if !groups.contains(&point.group.as_str()) {
                groups.push(&point.group);
            }
        }
        let mut header = vec!["gradient and format gradient".to_owned()];
        header.extend(
            columns
                .iter()
                .map(|(model, step)| format!("{model} @{step}")),
        );
        let row = |group: &str| {
            let cell = |&(model, step): &(&str, u64)| {
                let found = self.points.iter().find(|point| {
                    point.model == model && point.step == step && point.group == group
                });
                found.map_or("-".to_owned(), |point| {
                    format!("{:.3} ±{:.3}", point.cosine, (point.high - point.low) / 2.0)
                })
            };
            let mut row = vec![group.to_owned()];
            row.extend(columns.iter().map(cell));
            row
        };
        let rows = Rows {
            header,
            rows: groups.into_iter().map(row).collect(),
        };
        format!(
            "{}cosine ±half of the 95% interval over {} batches of {} rows\n",
            aligned(&rows),
            self.batches,
            self.batch_size
        )
    }
}
