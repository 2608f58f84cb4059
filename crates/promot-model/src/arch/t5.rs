//! T5: encoder and decoder over ragged batches, with soft prompts before the input.
//!
//! One model for v1.0 (ReLU, the head is the embedding table, logits scaled by `d_model^-0.5`) and
//! v1.1/mT5 (gated GELU, a head of its own, unscaled). Names and computation are those of
//! Hugging Face transformers' `T5ForConditionalGeneration`; the blocks are in `t5_pass.rs`.

use std::rc::Rc;

use promot_core::{Ragged, Seed, TokenBatch};

use super::loss::{Dropouts, LossOptions};
use super::t5_config::T5Config;
use super::t5_init::{initial_values, layout};
use super::t5_pass::Pass;
use super::weights::{Changed, parameters_from, random_parameters};
use crate::backend::{Backend, Device};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::graph::{Graph, Var};
use crate::ops::cross_entropy::cross_entropy;
use crate::param::ParameterSet;

/// The table that embeds the tokens of both stacks.
pub(super) const EMBEDDING: &str = "shared.weight";

/// A T5 on a device.
pub struct T5<D: Device> {
    pub(super) device: D,
    config: T5Config,
    parameters: Rc<ParameterSet<D>>,
    tied: bool,
}

impl<D: Device> Clone for T5<D> {
    /// Shares the memory of all tensors.
    fn clone(&self) -> Self {
        Self {
            device: self.device.clone(),
            config: self.config.clone(),
            parameters: self.parameters.clone(),
            tied: self.tied,
        }
    }
}

impl<B: Backend> T5<B> {
    /// A model with random weights, distributed as transformers initialises T5.
    pub fn new(device: &B, config: T5Config, tied: bool, seed: Seed) -> Self {
        let parameters = random_parameters(device, layout(&config, tied), |name, shape| {
            initial_values(&config, name, shape, seed)
        });
        Self {
            device: device.clone(),
            config: T5Config {
                tie_word_embeddings: tied,
                ..config
            },
            parameters: Rc::new(parameters),
            tied,
        }
    }

    /// A model from named values. Whether the head is tied is decided by whether `lm_head.weight`
    /// is among them.
    ///
    /// # Errors
    /// If a tensor is missing, superfluous, or of another shape than the configuration says.
    pub fn from_tensors(
        device: &B,
        config: T5Config,
        mut tensors: NamedTensors,
    ) -> Result<Self, CheckpointError> {
        // The shared table may be stored once, or again under each stack's name.
        for alias in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
            if let Some(table) = tensors.remove(alias) {
                tensors.entry(EMBEDDING.to_owned()).or_insert(table);
            }
        }
        let tied = !tensors.contains_key("lm_head.weight");
        let parameters = parameters_from(device, layout(&config, tied), tensors)?;
        Ok(Self {
            device: device.clone(),
            config: T5Config {
                tie_word_embeddings: tied,
                ..config
            },
            parameters: Rc::new(parameters),
            tied,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// The device that the weights are on.
    pub fn device(&self) -> &B {
        &self.device
    }

    /// The weights.
    pub fn parameters(&self) -> &ParameterSet<B> {
        &self.parameters
    }

    /// The weights, to be tuned.
    pub fn parameters_mut(&mut self) -> &mut ParameterSet<B> {
        Rc::make_mut(&mut self.parameters)
    }

    /// Whether the head is the embedding table.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// A pass in which no weight wants a gradient.
    pub(super) fn inference(&self) -> Pass<B> {
        Pass::new(self.clone(), false, Changed::new(), false)
    }

    /// The mean loss over the batch's target tokens, in nats, as a `(1, 1)` variable.
    ///
    /// `prompts` are soft prompts `(P, D)`, which `batch.prompts` refers to; those that are leaves
    /// get gradients. `changed` weights stand for the model's own.
    pub(super) fn loss(
        &self,
        graph: &mut Graph<B>,
        batch: &TokenBatch,
        prompts: &[Var<B>],
        changed: Changed<B>,
        options: &LossOptions,
    ) -> Var<B> {
        let pass = Pass::new(self.clone(), options.tune_model, changed, options.recompute);
        let mut dropouts = Dropouts::new(options.dropout);
        let (inputs, prompt_of) = (&batch.inputs, &batch.prompts);
        let (encoded, offsets) = pass.encoder(graph, inputs, prompts, prompt_of, &mut dropouts);
        let decoder_inputs = self.shift_right(&batch.targets);
        let hidden = pass.decoder(graph, &decoder_inputs, &encoded, &offsets, &mut dropouts);
        let scale = self.config.logit_scale(self.tied);
        let targets = batch.targets.ids();
        cross_entropy(
            graph,
            &hidden,
            &pass.head(),
            targets,
            options.smoothing,
            scale,
        )
    }

    fn shift_right(&self, targets: &Ragged) -> Ragged {
        let mut inputs = Ragged::new();
        for row in targets.rows() {
            let mut shifted = row.to_vec();
            shifted.pop();
            if !row.is_empty() {
                shifted.insert(0, self.config.decoder_start_token_id);
            }
            inputs.push(&shifted);
        }
        inputs
    }
}
