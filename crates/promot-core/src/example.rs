//! A row of a task as the model sees it: a prompt, the text it should answer, and how to judge.

use serde::{Deserialize, Serialize};

/// One evaluation or training row, rendered by its task's template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Where the row came from: a split and a row number, or the data set's own id.
    pub id: String,
    /// The task's name, for example `rte`.
    pub task: String,
    /// The prompt, worked examples included.
    pub input: String,
    /// The text to learn.
    pub target: String,
    /// Every answer that counts as right; holds at least `target`.
    pub references: Vec<String>,
}
