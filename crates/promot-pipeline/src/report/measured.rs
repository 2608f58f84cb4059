//! The answers of an evaluation, task by task: what comparisons of models are computed from.

use std::path::Path;

use super::answers::{AnsweredRow, answers_file, read_answers};
use super::{CollectError, TableData};

/// One measured task with all models' answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) task: String,
    /// Worked examples before each row.
    pub(super) shots: usize,
    pub(super) is_target: bool,
    /// Whether its format is foreign to the target's.
    pub(super) is_foreign: bool,
    pub(super) rows: Vec<AnsweredRow>,
}

/// What the first model was measured on, and with it all others.
pub(super) fn measured(table: &TableData, artifact: &Path) -> Result<Vec<Measured>, CollectError> {
    let first = table.models.first();
    let cells = table.cells.iter().filter(|cell| Some(&cell.model) == first);
    cells
        .map(|cell| {
            let (task, shots) = (&cell.record.task, cell.record.shots);
            let file = answers_file(task, shots, cell.is_target);
            Ok(Measured {
                task: task.clone(),
                shots,
                is_target: cell.is_target,
                is_foreign: cell.record.format_share.is_some(),
                rows: read_answers(artifact, &file, table.models.len())?,
            })
        })
        .collect()
}
