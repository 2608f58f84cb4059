//! Rows of a data stage: what is trained on, what selects checkpoints, what is evaluated.

use promot_core::Seed;
use promot_data::record::Record;
use promot_data::source::{DataError, Source, load};
use promot_data::split::Split;
use promot_data::task::{Task, TaskRef};

use crate::plan::{DataParams, Plan};

/// Training rows of a task, without those that select checkpoints.
pub(crate) struct TrainingRows {
    pub(crate) task: TaskRef,
    /// Rows to train on; worked examples come from here, too.
    pub(crate) train: Vec<Record>,
    /// Rows that select checkpoints.
    pub(crate) dev: Vec<Record>,
}

/// Loads training rows and holds some back for choosing checkpoints.
///
/// The rows that are evaluated later are never used for choosing: selection has rows of its own,
/// at most a tenth of the training rows, taken from their end.
pub(crate) fn training_rows(params: &DataParams, plan: &Plan) -> Result<TrainingRows, DataError> {
    let task = plan.task(&params.task);
    let mut train = load(
        &*task,
        &params.source.source(),
        Split::Train,
        params.train_rows,
    )?;
    let dev_rows = params.dev_rows.min(train.len() / 10);
    if dev_rows == 0 {
        return Err(DataError::TooFew { rows: train.len() });
    }
    let dev = train.split_off(train.len() - dev_rows);
    Ok(TrainingRows { task, train, dev })
}

/// Rows, at most `limit` if there is one, of the split that the paper evaluates a task on.
pub(crate) fn evaluation_rows(
    task: &dyn Task,
    source: &Source,
    limit: Option<usize>,
) -> Result<Vec<Record>, DataError> {
    load(task, source, task.evaluation_split(), limit)
}

/// Worked examples of evaluations are the same for every model, stage and run of a seed.
pub(crate) fn shots_seed(seed: Seed) -> Seed {
    seed.child("evaluation", "worked examples")
}
