//! What tuning stages write.

use std::path::Path;

use promot_core::write_atomically;
use promot_data::tokenizer::Tokenizer;
use promot_model::arch::Model;
use promot_model::checkpoint::{CheckpointError, SavePrecision, save_model};
use promot_model::train::{TrainSummary, Trained, TrainingBackend};

use super::training::Work;
use crate::run::RunError;

/// Where the prompt is in the artifact of a stage that makes a model, too.
pub const PROMPT_DIRECTORY: &str = "prompt";

/// Writes what was tuned, and how.
pub(super) fn write_result<B: TrainingBackend>(
    work: &Work<'_, B>,
    trained: &Trained<B>,
) -> Result<(), RunError> {
    let artifact = work.directory.artifact();
    (work.layout)(&artifact, &trained.model, &trained.adapters)?;
    let summary = TrainSummary {
        best_step: trained.best_step,
        history: trained.history.clone(),
        ended_early: trained.ended_early.clone(),
    };
    let json = serde_json::to_vec_pretty(&summary).expect("plain data serialises");
    work.directory.write("training.json", &json)
}

/// Writes a model as a Hugging Face directory with its tokenizer.
pub(super) fn write_model<B: TrainingBackend>(
    to: &Path,
    model: &Model<B>,
    tokenizer: &Tokenizer,
    precision: SavePrecision,
) -> Result<(), CheckpointError> {
    save_model(model, to, precision)?;
    let path = to.join("tokenizer.json");
    write_atomically(&path, tokenizer.to_json().as_bytes())
        .map_err(|source| CheckpointError::Io { path, source })
}
