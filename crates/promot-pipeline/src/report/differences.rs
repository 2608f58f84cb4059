//! Models compared on the same rows.

use std::path::Path;

use promot_data::metric::{Difference, Paired, paired_difference};
use serde::{Deserialize, Serialize};

use super::answers::{AnsweredRow, answers_file, judged, read_answers};
use super::{CollectError, TableData};
use crate::plan::TaskSet;

/// What two models' scores are compared over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedOver {
    /// A tuned task, with the models' own prompts.
    Target(String),
    /// The mean over the evaluation tasks.
    NormalizedAverage,
    /// The mean over those whose format is foreign to the target.
    ForeignFormats,
    /// One evaluation task.
    Task(String),
}

/// How much better a model is than the one that a table compares with, on the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDifference {
    /// The model.
    pub model: String,
    /// On what.
    pub over: ComparedOver,
    /// Worked examples before each row.
    pub shots: usize,
    /// The model's score less the other's.
    pub value: f64,
    /// The lower end of the 95% interval, of a paired bootstrap over rows.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// One measured task with all models' answers.
struct Compared {
    task: String,
    shots: usize,
    is_target: bool,
    is_foreign: bool,
    rows: Vec<AnsweredRow>,
}

/// All models but `against`, compared with it on everything that the evaluation in `artifact`
/// measured.
pub(super) fn differences(
    table: &TableData,
    against: &str,
    artifact: &Path,
    tasks: &TaskSet,
) -> Result<Vec<ModelDifference>, CollectError> {
    let measured = measured(table, artifact)?;
    let column = |label: &str| table.models.iter().position(|model| model == label);
    let against = column(against).expect("the file was checked for it");
    let mut found = Vec::new();
    for (column, model) in table.models.iter().enumerate() {
        if column == against {
            continue;
        }
        let compare = |over: ComparedOver, shots: usize, what: &[&Compared]| {
            if what.is_empty() {
                return Ok(None);
            }
            let difference = difference(what, column, against, tasks)?;
            Ok(Some(ModelDifference {
                model: model.clone(),
                over,
                shots,
                value: difference.value,
                low: difference.low,
                high: difference.high,
            }))
        };
        for target in measured.iter().filter(|what| what.is_target) {
            let over = ComparedOver::Target(target.task.clone());
            found.extend(compare(over, target.shots, &[target])?);
        }
        for shots in table.shots() {
            let evaluated: Vec<&Compared> = measured
                .iter()
                .filter(|what| !what.is_target && what.shots == shots)
                .collect();
            let foreign: Vec<&Compared> = evaluated
                .iter()
                .copied()
                .filter(|what| what.is_foreign)
                .collect();
            found.extend(compare(ComparedOver::NormalizedAverage, shots, &evaluated)?);
            found.extend(compare(ComparedOver::ForeignFormats, shots, &foreign)?);
            for what in evaluated {
                let over = ComparedOver::Task(what.task.clone());
                found.extend(compare(over, shots, &[what])?);
            }
        }
    }
    Ok(found)
}

/// What the first model was measured on, and with it all others.
fn measured(table: &TableData, artifact: &Path) -> Result<Vec<Compared>, CollectError> {
    let first = table.models.first();
    let cells = table.cells.iter().filter(|cell| Some(&cell.model) == first);
    cells
        .map(|cell| {
            let (task, shots) = (&cell.record.task, cell.record.shots);
            let file = answers_file(task, shots, cell.is_target);
            Ok(Compared {
                task: task.clone(),
                shots,
                is_target: cell.is_target,
                is_foreign: cell.record.format_share.is_some(),
                rows: read_answers(artifact, &file, table.models.len())?,
            })
        })
        .collect()
}

fn difference(
    measured: &[&Compared],
    column: usize,
    against: usize,
    tasks: &TaskSet,
) -> Result<Difference, CollectError> {
    let pair = |what: &&Compared| {
        let task = tasks.find(&what.task).expect("names were resolved");
        Paired {
            kind: task.metric(),
            model: judged(&*task, &what.rows, column),
            against: judged(&*task, &what.rows, against),
        }
    };
    let pairs: Vec<Paired> = measured.iter().map(pair).collect();
    // Rows were scored before they were stored.
    paired_difference(&pairs).map_err(|error| CollectError::Damaged {
        path: "answers".to_owned(),
        problem: error.to_string(),
    })
}
