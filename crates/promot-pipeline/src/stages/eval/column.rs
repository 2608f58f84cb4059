//! A column's model and prompts: what stages made, or checkpoints that they kept.

use std::path::PathBuf;

use promot_model::checkpoint::Adapter;
use promot_model::train::TrainingBackend;

use super::super::inputs::{adapter_in, adapter_of, starting_model};
use super::super::prompts::fresh_prompt;
use super::measured::Measured;
use crate::plan::{EvalModel, Stage};
use crate::run::{Context, LoadedModel, RunError};

/// Loads the model of a column.
pub(super) fn model_of<B: TrainingBackend>(
    column: &EvalModel,
    context: &Context<'_, B>,
) -> Result<LoadedModel<B>, RunError> {
    let name = column.model.as_deref();
    match name.and_then(|name| Some((name, column.step_of(name)?))) {
        Some((name, step)) => {
            let directory = checkpoint(context.artifact(name).0, step, context)?;
            LoadedModel::from_directory(&directory, context.device)
        }
        None => starting_model(name, context),
    }
}

/// Loads what is attached to a column's model on a task.
pub(super) fn adapter_for<B: TrainingBackend>(
    column: &EvalModel,
    what: &Measured,
    model: &LoadedModel<B>,
    context: &Context<'_, B>,
) -> Result<Option<Adapter>, RunError> {
    let Some(name) = prompt_for(column, what) else {
        return Ok(None);
    };
    let stage = context.artifact(name).0;
    let adapter = match column.step_of(name) {
        None => adapter_of(name, model, context)?,
        Some(0) => Adapter::Prompt(fresh_prompt(stage, model, context)),
        Some(step) => adapter_in(stage, checkpoint(stage, step, context)?, model)?,
    };
    Ok(Some(adapter))
}

/// The directory of a checkpoint that a stage kept.
fn checkpoint<B>(stage: &Stage, step: u64, context: &Context<'_, B>) -> Result<PathBuf, RunError> {
    let directory = context.store.stage(stage).checkpoint(step);
    if directory.is_dir() {
        return Ok(directory);
    }
    let name = &stage.name;
    Err(RunError::mismatch(
        format!("stage `{name}` left no checkpoint at step {step}"),
        format!("pick others with `steps`, or run the stage again with --force {name}"),
    ))
}

/// An earlier column with the same model, where no prompt makes a difference between the two.
pub(super) fn same_as_before(
    columns: &[EvalModel],
    column: usize,
    what: &Measured,
) -> Option<usize> {
    let is_same = |other: &EvalModel| sources(other, what) == sources(&columns[column], what);
    columns[..column].iter().position(is_same)
}

/// A stage's name, and the step if a checkpoint is meant.
type Source<'a> = Option<(&'a str, Option<u64>)>;

/// All that tells one column's answers on a task from another's: its model, and its prompt.
fn sources<'a>(column: &'a EvalModel, what: &Measured) -> (Source<'a>, Source<'a>) {
    let source = |name: &'a String| (name.as_str(), column.step_of(name));
    let prompt = prompt_for(column, what);
    (column.model.as_ref().map(source), prompt.map(source))
}

/// The stage with the model's prompt for a task: attached where the task is a tuned one, dropped
/// everywhere else.
fn prompt_for<'a>(column: &'a EvalModel, what: &Measured) -> Option<&'a String> {
    let target = what.target.as_ref()?;
    let found = column.prompts.iter().find(|(of, _)| of == target);
    found.map(|(_, prompt)| prompt)
}
