//! Models compared on the same rows.

use promot_data::metric::{Difference, Paired, paired_difference};
use serde::{Deserialize, Serialize};

use super::answers::judged;
use super::measured::Measured;
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

/// All models but `against`, compared with it on everything that was `measured`.
pub(super) fn differences(
    table: &TableData,
    against: &str,
    measured: &[Measured],
    tasks: &TaskSet,
) -> Result<Vec<ModelDifference>, CollectError> {
    let column = |label: &str| table.models.iter().position(|model| model == label);
    let against = column(against).expect("the file was checked for it");
    let mut found = Vec::new();
    for (column, model) in table.models.iter().enumerate() {
        if column == against {
            continue;
        }
        let compare = |over: ComparedOver, shots: usize, what: &[&Measured]| {
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
            let evaluated: Vec<&Measured> = measured
                .iter()
                .filter(|what| !what.is_target && what.shots == shots)
                .collect();
            let foreign: Vec<&Measured> = evaluated
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

fn difference(
    measured: &[&Measured],
    column: usize,
    against: usize,
    tasks: &TaskSet,
) -> Result<Difference, CollectError> {
    let pair = |what: &&Measured| {
        let task = tasks.find(&what.task).expect("names were resolved");
        Paired {
            kind: task.metric(),
            model: judged(&*task, &what.rows, column),
            against: judged(&*task, &what.rows, against),
        }
    };
    let pairs: Vec<Paired> = measured.iter().map(pair).collect();
    paired_difference(&pairs).map_err(|error| CollectError::unjudged(&error))
}
