//! One optimizer step: loss, gradients, clipping, update.

use std::ops::Range;

use promot_core::{Digester, Ragged, TokenBatch};

use super::TrainOptions;
use super::error::TrainError;
use super::tunables::{Tunables, Tuned};
use crate::arch::LossOptions;
use crate::backend::{Backend, Shape};
use crate::graph::Graph;
use crate::ops::dropout::DropoutKey;
use crate::optim::{self, Optimizer, Schedule, clip_factor};

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
            let key = dropout_key(options, step, part);
            let dropout = |rate: f32| (rate > 0.0).then_some(DropoutKey { rate, key });
            let loss_options = LossOptions {
                tune_model: options.tune.model(),
                smoothing: options.smoothing,
                dropout: dropout(options.dropout),
                lora_dropout: dropout(self.lora_dropout()).map(|key| key.at(LORA_PLACE)),
                recompute: options.recompute,
            };
            let mut graph = Graph::training(&device, gradients);
            let part = self.model.loss_with(
                &mut graph,
                &micro_batch,
                &self.prompts,
                self.lora.as_ref(),
                &loss_options,
            );
            loss += f64::from(device.download(part.slice())[0]) * f64::from(share);
            gradients = graph.backward(&part, share);
        }
        if !loss.is_finite() {
            return Err(TrainError::NonFinite { step, loss });
        }

        self.update(gradients, options, step)
            .ok_or(TrainError::NonFinite { step, loss })?;
        let prompt_rows: usize = batch
            .prompts
            .iter()
            .flatten()
            .map(|&prompt| self.prompts[prompt].shape().0)
            .sum();
        let tokens = batch.input_tokens() + prompt_rows + batch.target_tokens();
        Ok(Done {
            loss,
            learning_rate: options.schedule.rate(step, options.steps),
            tokens: tokens as u64,
        })
    }

    /// Moves all that is tuned against its gradient; `None`, and nothing is moved, if there are
    /// gradients that are not finite.
    fn update(
        &mut self,
        mut gradients: B::Gradients,
        options: &TrainOptions,
        step: u64,
    ) -> Option<()> {
        let device = self.model.device().clone();
        let tensors: Vec<B::Tensor> = self
            .tuned
            .iter()
            .map(|&tuned| self.tensor(tuned).clone())
            .collect();
        let gradients: Vec<(B::Buffer, Shape)> = tensors
            .iter()
            .map(|tensor| {
                let gradient = B::take_gradient(&mut gradients, &B::slot(tensor));
                (gradient, B::shape(tensor))
            })
            .collect();
        let slices: Vec<(&B::Slice, Shape)> = gradients
            .iter()
            .map(|(gradient, shape)| (gradient.as_ref(), *shape))
            .collect();
        let groups = groups(&self.tuned, options);
        let mut squares = Vec::new();
        let mut total = 0.0;
        for group in &groups {
            let (of_group, sum) = device.squares(group.optimizer, &slices[group.tuned.clone()]);
            squares.extend(of_group);
            total += sum;
        }
        let norm = total.sqrt();
        if !norm.is_finite() {
            return None;
        }
        let scale = options
            .max_gradient_norm
            .map_or(1.0, |max_norm| clip_factor(norm, max_norm));
        let updates = gradients.into_iter().zip(&squares).zip(&tensors);
        let mut updates = updates.map(|(((gradient, shape), squares), tensor)| optim::Update {
            values: B::slice(tensor),
            gradient,
            squares,
            shape,
        });
        let mut values = Vec::with_capacity(tensors.len());
        for group in groups {
            let step = optim::Step {
                number: step,
                learning_rate: group.schedule.rate(step, options.steps),
                scale,
            };
            let of_group = updates.by_ref().take(group.tuned.len()).collect();
            let states = &mut self.states[group.tuned];
            values.extend(device.update(group.optimizer, step, of_group, states));
        }
        for (i, values) in values.into_iter().enumerate() {
            let shape = B::shape(&tensors[i]);
            self.set(self.tuned[i], device.tensor(values, shape));
        }
        Some(())
    }
}

/// Tuned tensors, one after another, that are updated in the same way.
struct Group<'o> {
    tuned: Range<usize>,
    optimizer: &'o Optimizer,
    schedule: &'o Schedule,
}

/// All that is tuned: one group, unless prompts are updated in a way of their own.
fn groups<'o>(tuned: &[Tuned], options: &'o TrainOptions) -> Vec<Group<'o>> {
    let own = |tuned: &Tuned| {
        let own = options.prompts.as_ref();
        own.filter(|_| matches!(tuned, Tuned::Prompt(_)))
    };
    let mut start = 0;
    let runs = tuned.chunk_by(|a, b| own(a).is_some() == own(b).is_some());
    let group = |run: &[Tuned]| {
        let tuned = start..start + run.len();
        start = tuned.end;
        let (optimizer, schedule) = match own(&run[0]) {
            Some(own) => (&own.optimizer, &own.schedule),
            None => (&options.optimizer, &options.schedule),
        };
        Group {
            tuned,
            optimizer,
            schedule,
        }
    };
    runs.map(group).collect()
}

/// Far from the places within a pass, which are counted from one.
const LORA_PLACE: u64 = 1 << 32;

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
