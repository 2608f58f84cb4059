//! One optimizer step: loss, gradients, clipping, update.

use promot_core::{Digester, Ragged, TokenBatch};

use super::TrainOptions;
use super::error::TrainError;
use super::tunables::Tunables;
use crate::arch::t5::LossOptions;
use crate::backend::Backend;
use crate::graph::Graph;
use crate::ops::dropout::DropoutKey;
use crate::optim::{self, clip_by_global_norm};

/// What a step did.
pub(super) struct Done {
    /// Mean loss over the batch's target tokens.
    pub(super) loss: f64,
    pub(super) learning_rate: f32,
    pub(super) tokens: u64,
}

impl<B: Backend + optim::Kernels> Tunables<B> {
    /// Does step `step` (from 1).
    pub(super) fn step(
        &mut self,
        batch: &TokenBatch,
        options: &TrainOptions,
        step: u64,
    ) -> Result<Done, TrainError> {
        let device = self.model.device().clone();
        let mut gradients = B::Gradients::default();
        let mut loss = 0.0;
        for (part, micro_batch) in split(batch, options.micro_batches).into_iter().enumerate() {
            let share = micro_batch.target_tokens() as f32 / batch.target_tokens() as f32;
            let loss_options = LossOptions {
                tune_model: options.tune.model(),
                smoothing: options.smoothing,
                dropout: (options.dropout > 0.0).then(|| DropoutKey {
                    rate: options.dropout,
                    key: dropout_key(options, step, part),
                }),
            };
            let mut graph = Graph::training(&device, gradients);
            let part = self
                .model
                .loss(&mut graph, &micro_batch, &self.prompts, &loss_options);
            loss += f64::from(device.download(part.slice())[0]) * f64::from(share);
            gradients = graph.backward(&part, share);
        }
        if !loss.is_finite() {
            return Err(TrainError::NonFinite { step, loss });
        }

        let mut taken: Vec<Vec<f32>> = self
            .tuned
            .iter()
            .map(|&tuned| {
                let slot = B::slot(self.tensor(tuned));
                device.download(B::take_gradient(&mut gradients, &slot).as_ref())
            })
            .collect();
        if taken.iter().flatten().any(|g| !g.is_finite()) {
            return Err(TrainError::NonFinite { step, loss });
        }
        if let Some(max_norm) = options.max_gradient_norm {
            clip_by_global_norm(&mut taken, max_norm);
        }
        let learning_rate = options.schedule.rate(step, options.steps);
        for (i, gradient) in taken.into_iter().enumerate() {
            let tensor = self.tensor(self.tuned[i]).clone();
            let shape = B::shape(&tensor);
            let gradient = device.upload(gradient);
            let update = optim::Update {
                values: B::slice(&tensor),
                gradient: gradient.as_ref(),
                shape,
                learning_rate,
                step,
            };
            let values = device.update(&options.optimizer, update, &mut self.states[i]);
            self.set(self.tuned[i], device.tensor(values, shape));
        }
        let prompt_rows: usize = batch
            .prompts
            .iter()
            .flatten()
            .map(|&prompt| self.prompts[prompt].shape().0)
            .sum();
        let tokens = batch.input_tokens() + prompt_rows + batch.target_tokens();
        Ok(Done {
            loss,
            learning_rate,
            tokens: tokens as u64,
        })
    }
}

fn dropout_key(options: &TrainOptions, step: u64, part: usize) -> u64 {
    let digest = Digester::new()
        .field("seed", options.seed.value().to_le_bytes())
        .field("step", step.to_le_bytes())
        .field("part", (part as u64).to_le_bytes())
        .finish();
    let mut key = [0; 8];
    key.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(key)
}

/// The batch in `parts` of as equal numbers of rows as can be, none of them empty.
fn split(batch: &TokenBatch, parts: usize) -> Vec<TokenBatch> {
    let parts = parts.clamp(1, batch.len().max(1));
    if parts == 1 {
        return vec![batch.clone()];
    }
    (0..parts)
        .map(|part| {
            let rows = part * batch.len() / parts..(part + 1) * batch.len() / parts;
            let take = |ragged: &Ragged| Ragged::from_rows(rows.clone().map(|row| ragged.row(row)));
            TokenBatch {
                inputs: take(&batch.inputs),
                targets: take(&batch.targets),
                prompts: batch.prompts[rows.clone()].to_vec(),
            }
        })
        .collect()
}
