//! Kept checkpoints of tuning stages.

use std::fs;

use promot_model::train::{TrainSummary, TrainingBackend};

use super::inputs::starting_model;
use crate::plan::StageKind;
use crate::run::{Context, LoadedModel, RunError};

/// The model of the tuning stage `name` as it was after `step` steps; before the first one it is the model
/// that the stage started from.
pub(super) fn model_at<B: TrainingBackend>(
    name: &str,
    step: u64,
    context: &Context<'_, B>,
) -> Result<LoadedModel<B>, RunError> {
    let (stage, _) = context.artifact(name);
    if step == 0 {
        let StageKind::ModelTune(params) = &stage.kind else {
            unreachable!("types were checked");
        };
        return starting_model(params.from.as_deref(), context);
    }
    let directory = context.store.stage(stage).checkpoint(step);
    LoadedModel::from_directory(&directory, context.device)
}

/// The steps of a tuning stage's kept checkpoints, those among `wanted` if there are any, after step 0.
/// Tuning may have ended before the last step that was planned.
///
/// # Errors
/// If a wanted checkpoint is not there.
pub(super) fn kept_steps<B>(
    name: &str,
    wanted: Option<&[u64]>,
    context: &Context<'_, B>,
) -> Result<Vec<u64>, RunError> {
    let path = context.artifact(name).1.join("training.json");
    let bytes = fs::read(&path).map_err(|error| RunError::io(&path, error))?;
    let summary: TrainSummary = serde_json::from_slice(&bytes)
        .map_err(|error| RunError::io(&path, std::io::Error::other(error)))?;
    let kept: Vec<u64> = [0]
        .into_iter()
        .chain(summary.history.iter().map(|record| record.step))
        .collect();
    let Some(wanted) = wanted else {
        return Ok(kept);
    };
    match wanted.iter().find(|step| !kept.contains(step)) {
        None => Ok(wanted.to_vec()),
        Some(step) => {
            let last = kept.last().expect("step 0");
            Err(RunError::mismatch(
                format!("`{name}` has no checkpoint at step {step}: tuning ended at step {last}"),
                "leave the step out of `steps`",
            ))
        }
    }
}
