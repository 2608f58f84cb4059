//! Rows that one model has right and another wrong, and McNemar's test of their numbers.

use promot_core::MetricKind;
use promot_data::metric::{mcnemar_exact, row_scores};
use serde::{Deserialize, Serialize};

use super::answers::judged;
use super::measured::Measured;
use super::{CollectError, TableData};
use crate::plan::{EvalParams, TaskSet};

/// Rows listed of each direction.
const LISTED: usize = 10;

/// How two models' answers differ in being right, on the same rows of a task whose rows are right or
/// wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    /// The model.
    pub model: String,
    /// The model that it is compared with.
    pub against: String,
    /// Whether the two are the same model with different prompts.
    pub same_model: bool,
    /// The task.
    pub task: String,
    /// Worked examples before each row.
    pub shots: usize,
    /// Whether this is a tuned task.
    pub is_target: bool,
    /// All rows.
    pub rows: usize,
    /// Rows that both have right.
    pub both_right: usize,
    /// Rows that are right with `against` and wrong with `model`.
    pub lost: usize,
    /// Rows that are wrong with `against` and right with `model`.
    pub gained: usize,
    /// The two-sided p-value of McNemar's exact test.
    pub p: f64,
    /// Some of the rows that are lost, then some of those gained, in the order of the rows.
    pub listed: Vec<Flip>,
}

/// One such row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// Its position among the task's rows, from 0.
    pub row: usize,
    /// Whether `model` has it right.
    pub gained: bool,
    /// The answer that was expected.
    pub target: String,
    /// What `against` said.
    pub before: String,
    /// What `model` said.
    pub after: String,
}

/// Two columns to compare.
struct Pair {
    column: usize,
    against: usize,
    same_model: bool,
}

/// All models against the one that the table compares with, on every task whose rows are right or
/// wrong; besides, on tuned tasks, models that differ from another column in their prompts only.
pub(super) fn flips(
    table: &TableData,
    params: &EvalParams,
    measured: &[Measured],
    tasks: &TaskSet,
) -> Result<Vec<Flips>, CollectError> {
    let mut found = Vec::new();
    for pair in pairs(params) {
        for what in measured {
            let task = tasks.find(&what.task).expect("names were resolved");
            let is_right_or_wrong =
                matches!(task.metric(), MetricKind::Accuracy | MetricKind::ExactMatch);
            // Without their prompts, the same model says the same.
            let can_differ = !pair.same_model || what.is_target;
            if !is_right_or_wrong || !can_differ {
                continue;
            }
            let right = |column: usize| {
                let scores = row_scores(task.metric(), &judged(&*task, &what.rows, column));
                let scores = scores.map_err(|error| CollectError::unjudged(&error))?;
                let scores = scores.unwrap_or_default();
                Ok::<Vec<bool>, CollectError>(scores.iter().map(|&score| score > 50.0).collect())
            };
            let (before, after) = (right(pair.against)?, right(pair.column)?);
            found.push(count(table, &pair, what, &before, &after));
        }
    }
    Ok(found)
}

fn pairs(params: &EvalParams) -> Vec<Pair> {
    let against = params.compare_with;
    let columns = 0..params.models.len();
    let differ_in_prompt = |column: usize, other: usize| {
        let (one, other) = (&params.models[column], &params.models[other]);
        one.model == other.model && one.prompts != other.prompts
    };
    let mut pairs: Vec<Pair> = columns
        .clone()
        .filter(|&column| column != against)
        .map(|column| Pair {
            column,
            against,
            same_model: differ_in_prompt(column, against),
        })
        .collect();
    for column in columns {
        let others = (0..column).filter(|&other| other != against && column != against);
        pairs.extend(
            others
                .filter(|&other| differ_in_prompt(column, other))
                .map(|other| Pair {
                    column,
                    against: other,
                    same_model: true,
                }),
        );
    }
    pairs
}

fn count(
    table: &TableData,
    pair: &Pair,
    what: &Measured,
    before: &[bool],
    after: &[bool],
) -> Flips {
    let changed = |gained: bool| -> Vec<usize> {
        let rows = 0..before.len();
        rows.filter(|&row| before[row] != after[row] && after[row] == gained)
            .collect()
    };
    let (lost, gained) = (changed(false), changed(true));
    let list = |rows: &[usize], gained: bool| -> Vec<Flip> {
        let rows = rows.iter().take(LISTED);
        rows.map(|&row| Flip {
            row,
            gained,
            target: what.rows[row].target.clone(),
            before: what.rows[row].outputs[pair.against].clone(),
            after: what.rows[row].outputs[pair.column].clone(),
        })
        .collect()
    };
    let mut listed = list(&lost, false);
    listed.extend(list(&gained, true));
    Flips {
        model: table.models[pair.column].clone(),
        against: table.models[pair.against].clone(),
        same_model: pair.same_model,
        task: what.task.clone(),
        shots: what.shots,
        is_target: what.is_target,
        rows: before.len(),
        both_right: before.iter().zip(after).filter(|(b, a)| **b && **a).count(),
        lost: lost.len(),
        gained: gained.len(),
        p: mcnemar_exact(lost.len(), gained.len()),
        listed,
    }
}
