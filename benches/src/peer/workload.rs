//! The file of batches that both sides read.

use std::path::Path;

use anyhow::{Context as _, ensure};
use promot_core::{Ragged, TokenBatch};
use promot_model::prompt::SoftPrompt;
use serde::Deserialize;

/// Batches of token ids and the soft prompt's first values.
#[derive(Debug)]
pub struct Workload {
    /// Inputs and targets in the order of the steps.
    pub batches: Vec<TokenBatch>,
    /// What the soft prompt starts from.
    pub prompt: SoftPrompt,
    /// How fast both sides learn.
    pub learning_rates: LearningRates,
    /// How many tokens decoding has to make, no more and no fewer.
    pub new_tokens: usize,
}

/// Learning rates by what is tuned.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRates {
    /// Of a model.
    pub model: f32,
    /// Of a soft prompt.
    pub prompt: f32,
}

/// The file's keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    batches: Vec<FileBatch>,
    /// Rows of values.
    prompt: Vec<Vec<f32>>,
    learning_rates: LearningRates,
    new_tokens: usize,
}

/// One batch: rows of token ids.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBatch {
    inputs: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
}

impl Workload {
    /// Reads the file; `d_model` is the width of the soft prompt.
    ///
    /// # Errors
    /// If it cannot be read or does not fit the model.
    pub fn read(path: &Path, d_model: usize) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file: File =
            serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
        ensure!(!file.batches.is_empty(), "{}: no batches", path.display());
        ensure!(
            file.prompt.iter().all(|row| row.len() == d_model),
            "{}: rows of the soft prompt have {d_model} values",
            path.display()
        );
        let ragged = |rows: &[Vec<u32>]| Ragged::from_rows(rows.iter().map(Vec::as_slice));
        let batches = file.batches.iter();
        let batches =
            batches.map(|batch| TokenBatch::new(ragged(&batch.inputs), ragged(&batch.targets)));
        Ok(Self {
            batches: batches.collect(),
            prompt: SoftPrompt::new(file.prompt.concat(), d_model),
            learning_rates: file.learning_rates,
            new_tokens: file.new_tokens,
        })
    }
}
