//! Scores that somebody else published, beside ours.

use serde::{Deserialize, Serialize};

use super::TableData;
use crate::plan::{EvalParams, Plan, Published, StageKind};

/// A table's scores beside published ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedTable {
    /// Where the published scores are from.
    pub source: String,
    /// The columns.
    pub models: Vec<String>,
    /// Targets, then for each number of worked examples the mean and all tasks.
    pub rows: Vec<PublishedRow>,
    /// The model that the others are compared with.
    pub compared_with: String,
    /// How many differences of scores to that model's are not 0, here and where the others are from.
    pub differences: usize,
    /// How many of these have the same sign.
    pub same_sign: usize,
}

/// One task with one number of worked examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedRow {
    /// What the task is called, or the mean.
    pub title: String,
    /// Worked examples before each row.
    pub shots: usize,
    /// For each model our score and the published one, both in [0, 100].
    pub scores: Vec<(Option<f64>, Option<f64>)>,
}

/// The scores of a table beside those that its stage was given.
pub(super) fn beside(
    table: &TableData,
    params: &EvalParams,
    published: &Published,
    plan: &Plan,
) -> PublishedTable {
    let theirs = |model: &str, task: &str, shots: usize, is_target: bool| {
        let mut scores = published.scores.iter();
        let found = scores.find(|score| {
            score.model == model
                && score.task == task
                && score.shots == shots
                && score.is_target == is_target
        });
        found.map(|score| score.score)
    };
    let row = |name: &str, task: &str, shots: usize, is_target: bool| PublishedRow {
        title: table.title(task),
        shots,
        scores: table
            .models
            .iter()
            .map(|model| {
                let cell = table.cell(model, task, shots, is_target);
                let ours = cell.map(|cell| cell.record.value);
                (ours, theirs(model, name, shots, is_target))
            })
            .collect(),
    };
    let mut rows = Vec::new();
    for target in &params.targets {
        let Some(StageKind::Data(data)) = plan.stage(target).map(|stage| &stage.kind) else {
            continue;
        };
        rows.push(row(target, &data.task, 0, true));
    }
    let against = &params.models[params.compare_with].label;
    let mut signs = Signs::default();
    rows.iter().for_each(|row| signs.count(row, table, against));
    for shots in table.shots() {
        let tasks = params.tasks.iter().map(|task| &task.task);
        let of_tasks: Vec<PublishedRow> = tasks.map(|task| row(task, task, shots, false)).collect();
        of_tasks
            .iter()
            .for_each(|row| signs.count(row, table, against));
        if !of_tasks.is_empty() {
            rows.push(mean(table, shots, &of_tasks));
        }
        rows.extend(of_tasks);
    }
    rows.retain(|row| row.scores.iter().any(|(_, theirs)| theirs.is_some()));
    PublishedTable {
        source: published.source.clone(),
        models: table.models.clone(),
        rows,
        compared_with: against.clone(),
        differences: signs.both,
        same_sign: signs.same,
    }
}

/// The means over the evaluation tasks; of published scores where every task has one.
fn mean(table: &TableData, shots: usize, tasks: &[PublishedRow]) -> PublishedRow {
    let of_model = |(index, model): (usize, &String)| {
        let theirs: Option<Vec<f64>> = tasks.iter().map(|row| row.scores[index].1).collect();
        let theirs = theirs.and_then(|scores| promot_data::metric::normalized_average(&scores));
        (table.normalized_average(model, shots), theirs)
    };
    PublishedRow {
        title: "Norm. Avg.".to_owned(),
        shots,
        scores: table.models.iter().enumerate().map(of_model).collect(),
    }
}

/// Signs of differences, ours and theirs.
#[derive(Default)]
struct Signs {
    both: usize,
    same: usize,
}

impl Signs {
    fn count(&mut self, row: &PublishedRow, table: &TableData, against: &str) {
        let reference = table.models.iter().position(|model| model == against);
        let Some((Some(ours), Some(theirs))) = reference.map(|index| row.scores[index]) else {
            return;
        };
        for score in &row.scores {
            let (Some(our), Some(their)) = *score else {
                continue;
            };
            let product = (our - ours) * (their - theirs);
            self.both += usize::from(product != 0.0);
            self.same += usize::from(product > 0.0);
        }
    }
}
