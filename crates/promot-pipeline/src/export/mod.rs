//! What a run made, in others' formats: models and adapters as directories that transformers and PEFT
//! load, evaluations as lm-evaluation-harness writes them.

mod lm_eval;
mod sidecar;

use std::path::Path;

pub use lm_eval::export_evaluation;

use promot_core::write_atomically;
use promot_model::backend::Host;
use promot_model::checkpoint::{SavePrecision, ShardSize, copy_adapter, save_model_in_shards};

use crate::run::{LoadedModel, RunError};
pub use crate::stages::PROMPT_DIRECTORY;

/// Writes a model to the directory `to`: `config.json`, weights in files of at most `limit`,
/// `generation_config.json`, `tokenizer.json` and `tokenizer_config.json`. What else is in `to`
/// stays, except for weights.
///
/// # Errors
/// If the file system refuses.
pub fn export_model(
    loaded: &LoadedModel<Host>,
    to: &Path,
    precision: SavePrecision,
    limit: ShardSize,
) -> Result<(), RunError> {
    let LoadedModel { model, tokenizer } = loaded;
    save_model_in_shards(model, to, precision, limit)?;
    let config = model.config();
    for (name, json) in [
        ("generation_config.json", sidecar::generation(&config)),
        ("tokenizer.json", sidecar::tokenizer(tokenizer, &config)),
        (
            "tokenizer_config.json",
            sidecar::tokenizer_config(tokenizer, &config),
        ),
    ] {
        let mut text = serde_json::to_string_pretty(&json).expect("plain data serialises");
        text.push('\n');
        let path = to.join(name);
        write_atomically(&path, text.as_bytes()).map_err(|error| RunError::io(&path, error))?;
    }
    Ok(())
}

/// Writes the soft prompt or LoRA in the directory `from` to the directory `to` as a PEFT adapter of
/// the base model called `base`, or of the one that it already names.
///
/// # Errors
/// If `from` holds no adapter, or the file system refuses.
pub fn export_adapter(from: &Path, to: &Path, base: Option<&str>) -> Result<(), RunError> {
    Ok(copy_adapter(from, base, to)?)
}
