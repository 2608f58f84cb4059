//! What the drift monitor of a tuning stage saw: foreign prompts answered while tuning goes on.

use serde::{Deserialize, Serialize};

/// Foreign prompts of one task, answered after some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// The task.
    pub task: String,
    /// Whether the stage's own prompt preceded the inputs.
    pub with_prompt: bool,
    /// Prompts answered.
    pub rows: usize,
    /// The task's own metric in [0, 100].
    pub score: f64,
    /// The share of answers in the target's format, in percent, where that is foreign to the task.
    pub format_share: Option<f64>,
}
