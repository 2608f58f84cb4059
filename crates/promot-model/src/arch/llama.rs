//! Llama: a decoder-only model over ragged batches, with soft prompts before the input.
//!
//! Names and computation are those of Hugging Face transformers' `LlamaForCausalLM`: rotary
//! positions, grouped-query attention, a SwiGLU feed-forward layer, RMS normalisation before each.

use std::rc::Rc;
use std::sync::Arc;

use promot_core::{Ragged, Seed, TokenBatch};

use super::llama_config::LlamaConfig;
use super::llama_pass::Pass;
use super::llama_sequences::Sequences;
use super::loss::{Dropouts, LossOptions};
use super::weights::{Changed, normal_values, parameters_from, random_parameters};
use crate::backend::{Backend, Device, Shape};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::graph::{Graph, Var};
use crate::ops::cross_entropy::cross_entropy;
use crate::param::ParameterSet;

/// The embedding table, which is also the head of a tied model.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";
pub(super) const FINAL_NORM: &str = "model.norm.weight";
/// Projections of a layer's attention.
pub(super) const QUERIES: &str = "self_attn.q_proj";
pub(super) const KEYS: &str = "self_attn.k_proj";
pub(super) const VALUES: &str = "self_attn.v_proj";

/// A Llama on a device.
pub struct Llama<D: Device> {
    pub(super) device: D,
    config: LlamaConfig,
    parameters: Rc<ParameterSet<D>>,
    tied: bool,
}

impl<D: Device> Clone for Llama<D> {
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

impl<B: Backend> Llama<B> {
    /// A model with random weights, distributed as transformers initialises Llama: normal with a
    /// standard deviation of 0.02.
    pub fn new(device: &B, config: LlamaConfig, tied: bool, seed: Seed) -> Self {
        let parameters = random_parameters(device, layout(&config, tied), |name, shape| {
            if shape.0 == 1 {
                vec![1.0; shape.1]
            } else {
                normal_values(seed, name, shape, 0.02)
            }
        });
        Self::with_parameters(device, config, tied, parameters)
    }

    /// A model from named values. Whether the head is tied is decided by whether `lm_head.weight`
    /// is among them.
    ///
    /// # Errors
    /// If a tensor is missing, superfluous, or of another shape than the configuration says.
    pub fn from_tensors(
        device: &B,
        config: LlamaConfig,
        mut tensors: NamedTensors,
    ) -> Result<Self, CheckpointError> {
        // Old checkpoints store the rotary frequencies, which the configuration determines.
        tensors.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
        let tied = !tensors.contains_key(HEAD);
        let parameters = parameters_from(device, layout(&config, tied), tensors)?;
        Ok(Self::with_parameters(device, config, tied, parameters))
    }

    fn with_parameters(
        device: &B,
        config: LlamaConfig,
        tied: bool,
        parameters: ParameterSet<B>,
    ) -> Self {
        Self {
            device: device.clone(),
            config: LlamaConfig {
                tie_word_embeddings: tied,
                ..config
            },
            parameters: Rc::new(parameters),
            tied,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &LlamaConfig {
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

    /// The mean loss over the batch's target tokens, in nats, as a `(1, 1)` variable.
    ///
    /// A sequence is its soft prompt, its input and its target; only what predicts target tokens
    /// goes through the last layer and the head. `prompts` are soft prompts `(P, D)`, which
    /// `batch.prompts` refers to; those that are leaves get gradients. `changed` weights stand for the model's own.
    ///
    /// # Panics
    /// If a row has neither a soft prompt nor an input token, or there is no target token at all.
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
        // With dropout, a soft prompt's rows differ from one input to the next.
        let sequences = Sequences::of(batch, options.dropout.is_none());
        let hidden = pass.predicting(graph, &sequences, prompts, &mut dropouts);
        let hidden = pass.final_norm(graph, &hidden);
        cross_entropy(
            graph,
            &hidden,
            &pass.head(),
            batch.targets.ids(),
            options.smoothing,
            1.0,
        )
    }

    /// Logits of the next token after every position, `(T', V)` with the rows of soft prompts, and
    /// the sequences' offsets.
    pub fn logits(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> (Var<B>, Arc<[usize]>) {
        let mut graph = Graph::inference(&self.device);
        let pass = self.inference();
        let (hidden, offsets) = pass.states(&mut graph, inputs, prompts, prompt_of);
        (pass.logits(&mut graph, &hidden), offsets)
    }

    /// A pass in which no weight wants a gradient.
    pub(super) fn inference(&self) -> Pass<B> {
        Pass::new(self.clone(), false, Changed::new(), false)
    }
}

/// Names and shapes of all tensors, in the order of the computation.
fn layout(config: &LlamaConfig, tied: bool) -> Vec<(String, Shape)> {
    let (d, ff) = (config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.d_head();
    let kv = config.num_kv_heads() * config.d_head();
    let mut tensors = vec![(EMBEDDING.to_owned(), (config.vocab_size, d))];
    for layer in 0..config.num_hidden_layers {
        let parts = [
            ("input_layernorm", (1, d)),
            (QUERIES, (q, d)),
            (KEYS, (kv, d)),
            (VALUES, (kv, d)),
            ("self_attn.o_proj", (d, q)),
            ("post_attention_layernorm", (1, d)),
            ("mlp.gate_proj", (ff, d)),
            ("mlp.up_proj", (ff, d)),
            ("mlp.down_proj", (d, ff)),
        ];
        let named = |(part, shape)| (weight_name(layer, part), shape);
        tensors.extend(parts.map(named));
    }
    tensors.push((FINAL_NORM.to_owned(), (1, d)));
    if !tied {
        tensors.push((HEAD.to_owned(), (config.vocab_size, d)));
    }
    tensors
}

pub(super) fn weight_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

#[cfg(test)]
mod tests;
