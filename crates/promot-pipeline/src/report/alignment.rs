//! How much of a gradient is that of the target's format (paper figures 3 and 7).

use serde::{Deserialize, Serialize};

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
