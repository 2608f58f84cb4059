//! What models answered, row by row: kept by evaluations beside their table, for whatever wants to
//! look closer than at scores.

use std::fs;
use std::path::{Path, PathBuf};

use promot_core::Example;
use promot_data::metric::Judged;
use promot_data::task::Task;
use serde::{Deserialize, Serialize};

use super::CollectError;

/// One row of a measured task, with what every model said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredRow {
    /// The prompt, worked examples included.
    pub input: String,
    /// The answer that was expected.
    pub target: String,
    /// Every answer that counts as right.
    pub references: Vec<String>,
    /// What each model said, in the order of the table's columns, before post-processing.
    pub outputs: Vec<String>,
}

impl AnsweredRow {
    pub(crate) fn new(example: &Example, outputs: Vec<String>) -> Self {
        Self {
            input: example.input.clone(),
            target: example.target.clone(),
            references: example.references.clone(),
            outputs,
        }
    }
}

/// A measured task's rows: `answers/TASK-tuned.jsonl` of a target, else `answers/TASK-Kshot.jsonl`,
/// a line a row.
pub(crate) fn answers_file(task: &str, shots: usize, is_target: bool) -> String {
    format!("answers/{}.jsonl", measurement(task, shots, is_target, '-'))
}

/// A name for a task with a number of worked examples, since a table may have several.
pub(crate) fn measurement(task: &str, shots: usize, is_target: bool, separator: char) -> String {
    if is_target {
        format!("{task}{separator}tuned")
    } else {
        format!("{task}{separator}{shots}shot")
    }
}

/// The text of such a file.
pub(crate) fn to_json_lines(rows: &[AnsweredRow]) -> String {
    let line = |row| serde_json::to_string(row).expect("plain data serialises") + "\n";
    rows.iter().map(line).collect()
}

/// Reads the answers of `columns` models from a file of the evaluation in `artifact`.
pub(crate) fn read_answers(
    artifact: &Path,
    file: &str,
    columns: usize,
) -> Result<Vec<AnsweredRow>, CollectError> {
    let path: PathBuf = artifact.join(file);
    let damaged = |problem: String| CollectError::Damaged {
        path: path.display().to_string(),
        problem,
    };
    let text = fs::read_to_string(&path).map_err(|error| damaged(error.to_string()))?;
    let read = |(number, line): (usize, &str)| {
        let row: AnsweredRow = serde_json::from_str(line)
            .map_err(|error| damaged(format!("line {}: {error}", number + 1)))?;
        match row.outputs.len() {
            found if found == columns => Ok(row),
            found => Err(damaged(format!(
                "line {}: {found} outputs of {columns} models",
                number + 1
            ))),
        }
    };
    text.lines().enumerate().map(read).collect()
}

/// What a task's metric looks at in the outputs of the model in `column`.
pub(crate) fn judged(task: &dyn Task, rows: &[AnsweredRow], column: usize) -> Vec<Judged> {
    let judge = |row: &AnsweredRow| Judged {
        output: task.post_process(&row.outputs[column]).to_owned(),
        references: row.references.clone(),
    };
    rows.iter().map(judge).collect()
}
