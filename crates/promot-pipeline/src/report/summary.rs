//! The means that a table begins with.

use serde::{Deserialize, Serialize};

use super::TableData;

/// One model's means over the evaluation tasks with one number of worked examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The model.
    pub model: String,
    /// Worked examples before each row.
    pub shots: usize,
    /// The mean over all evaluation tasks, in [0, 100].
    pub normalized_average: Option<f64>,
    /// The mean over those whose format is foreign to the target.
    pub foreign: Option<f64>,
    /// The mean share of answers to those in the target's format, in percent.
    pub format_share: Option<f64>,
}

/// The means of every model and number of worked examples.
pub(super) fn summaries(table: &TableData) -> Vec<Summary> {
    let mut found = Vec::new();
    for model in &table.models {
        for shots in table.shots() {
            let foreign = table.foreign(model, shots);
            found.push(Summary {
                model: model.clone(),
                shots,
                normalized_average: table.normalized_average(model, shots),
                foreign: foreign.map(|(score, _)| score),
                format_share: foreign.map(|(_, share)| share),
            });
        }
    }
    found
}
