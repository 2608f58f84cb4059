//! What a page shows beyond a report: rows with all answers, and what the stages took.

use std::path::Path;

use promot_core::MetricKind;
use promot_data::metric::row_scores;

use super::answers::{AnsweredRow, judged};
use super::collect::read_table;
use super::measured::measured;
use super::{CollectError, TableData};
use crate::plan::{Plan, StageKind, TaskSet};
use crate::run::{Effort, Store};

/// Rows and efforts of a finished run. Efforts depend on the machine and the moment, so they are in no
/// file that two runs are compared by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Each evaluation stage's name and its measured tasks.
    pub tables: Vec<(String, Vec<AnsweredTask>)>,
    /// The stages, every one after its inputs.
    pub stages: Vec<StageDetails>,
}

/// A measured task with all models' answers.
#[derive(Clone, Debug, PartialEq)]
pub struct AnsweredTask {
    /// The task's name.
    pub task: String,
    /// Worked examples before each row.
    pub shots: usize,
    /// Whether this is a tuned task.
    pub is_target: bool,
    /// The rows.
    pub rows: Vec<AnsweredRow>,
    /// For each row whether each model has it right, where rows are right or wrong.
    pub right: Option<Vec<Vec<bool>>>,
}

/// A stage, what it reads, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct StageDetails {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Names of the stages it reads.
    pub inputs: Vec<String>,
    /// What it took; none of an artifact from before that was noted.
    pub effort: Option<Effort>,
}

impl Details {
    /// The details of a plan whose stages are in the store.
    ///
    /// # Errors
    /// If files of evaluations are missing or damaged.
    pub fn collect(plan: &Plan, store: &Store) -> Result<Self, CollectError> {
        let mut details = Self::default();
        for stage in plan.stages() {
            let directory = store.stage(stage);
            let inputs = plan.inputs(&stage.name).into_iter();
            details.stages.push(StageDetails {
                name: stage.name.clone(),
                kind: stage.kind.name().to_owned(),
                inputs: inputs.map(str::to_owned).collect(),
                effort: directory.effort(),
            });
            if let StageKind::Eval(_) = &stage.kind {
                let artifact = directory.artifact();
                let table = read_table(&artifact)?;
                let tasks = answered(&table, &artifact, &plan.tasks)?;
                details.tables.push((stage.name.clone(), tasks));
            }
        }
        Ok(details)
    }
}

fn answered(
    table: &TableData,
    artifact: &Path,
    tasks: &TaskSet,
) -> Result<Vec<AnsweredTask>, CollectError> {
    let columns = table.models.len();
    let measured = measured(table, artifact)?.into_iter();
    measured
        .map(|what| {
            let task = tasks.find(&what.task).expect("names were resolved");
            let right = match task.metric() {
                MetricKind::Accuracy | MetricKind::ExactMatch => {
                    let right_of = |column: usize| -> Result<Vec<bool>, CollectError> {
                        let scores = row_scores(task.metric(), &judged(&*task, &what.rows, column));
                        let scores = scores.map_err(|error| CollectError::unjudged(&error))?;
                        let scores = scores.into_iter().flatten();
                        Ok(scores.map(|score| score > 50.0).collect())
                    };
                    let by_column: Result<Vec<_>, _> = (0..columns).map(right_of).collect();
                    let by_column = by_column?;
                    let row = |row: usize| by_column.iter().map(|right| right[row]).collect();
                    Some((0..what.rows.len()).map(row).collect())
                }
                MetricKind::Bleu | MetricKind::Rouge2 => None,
            };
            Ok(AnsweredTask {
                task: what.task,
                shots: what.shots,
                is_target: what.is_target,
                rows: what.rows,
                right,
            })
        })
        .collect()
}
