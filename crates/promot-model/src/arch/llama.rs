//! Llama: a decoder-only model over ragged batches, with soft prompts before the input.
//!
//! Names and computation are those of Hugging Face transformers' `LlamaForCausalLM`: rotary
//! positions, grouped-query attention, a SwiGLU feed-forward layer, RMS normalisation before each.

use std::rc::Rc;
use std::sync::Arc;

use promot_core::{Ragged, Seed, TokenBatch};

use super::llama_config::LlamaConfig;
use super::loss::{Dropouts, LossOptions};
use super::weights::{Changed, PassWeights, normal_values, parameters_from, random_parameters};
use crate::backend::{Backend, Device, Shape};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::graph::{Graph, Var};
use crate::ops::attention::{Layout, attention};
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::dropout::{DropoutKey, dropout};
use crate::ops::embedding::embedding;
use crate::ops::feed_forward::{self, Activation, feed_forward};
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::rms_norm::rms_norm;
use crate::ops::rope::{Angles, rope};
use crate::ops::select_rows::select_rows;
use crate::param::ParameterSet;
use crate::recompute::recomputed;

/// The embedding table, which is also the head of a tied model.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
const FINAL_NORM: &str = "model.norm.weight";

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
    /// goes through the head. `prompts` are soft prompts `(P, D)`, which `batch.prompts` refers to;
    /// those that are leaves get gradients. `changed` weights stand for the model's own.
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
        let (sequences, targets) = (joined(batch), &batch.targets);
        let (hidden, offsets) =
            pass.hidden(graph, &sequences, prompts, &batch.prompts, &mut dropouts);
        // The last target token is not fed: its place in the sequence predicts nothing.
        let mut predicting = Vec::with_capacity(targets.ids().len());
        for (window, target) in offsets.windows(2).zip(targets.rows()) {
            assert!(
                target.is_empty() || window[1] - window[0] >= target.len(),
                "a soft prompt or an input token before every target"
            );
            predicting.extend((window[1] - target.len()..window[1]).map(|row| row as u32));
        }
        let hidden = select_rows(graph, &hidden, predicting.into());
        let hidden = pass.norm(graph, FINAL_NORM, &hidden);
        cross_entropy(
            graph,
            &hidden,
            &pass.head(),
            targets.ids(),
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
        let mut dropouts = Dropouts::new(None);
        let (hidden, offsets) = pass.hidden(&mut graph, inputs, prompts, prompt_of, &mut dropouts);
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
            ("self_attn.q_proj", (q, d)),
            ("self_attn.k_proj", (kv, d)),
            ("self_attn.v_proj", (kv, d)),
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

fn weight_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

/// Inputs with their targets behind them, each without its last token.
fn joined(batch: &TokenBatch) -> Ragged {
    let mut sequences = Ragged::new();
    for (input, target) in batch.inputs.rows().zip(batch.targets.rows()) {
        let fed = &target[..target.len().saturating_sub(1)];
        sequences.push(&[input, fed].concat());
    }
    sequences
}

/// Which sublayer a weight is of: its layer, and whether it is the feed-forward one.
fn sublayer(name: &str) -> Option<(&str, bool)> {
    let rest = name.strip_prefix("model.layers.")?;
    let (number, part) = rest.split_once('.')?;
    let is_mlp = part.starts_with("mlp.") || part.starts_with("post_attention_layernorm");
    Some((number, is_mlp))
}

/// One pass through a Llama: its weights as variables, leaves where they are tuned.
///
/// A clone shares them: a block that is computed again later holds on to one.
pub(super) struct Pass<B: Backend> {
    model: Llama<B>,
    weights: PassWeights<B>,
    recompute: bool,
}

impl<B: Backend> Clone for Pass<B> {
    fn clone(&self) -> Self {
        Self {
            model: self.model.clone(),
            weights: self.weights.clone(),
            recompute: self.recompute,
        }
    }
}

impl<B: Backend> Pass<B> {
    fn new(model: Llama<B>, tuned: bool, changed: Changed<B>, recompute: bool) -> Self {
        let weights = PassWeights::new(&model.parameters, tuned, changed, sublayer);
        Self {
            model,
            weights,
            recompute,
        }
    }

    fn config(&self) -> &LlamaConfig {
        &self.model.config
    }

    /// The weight of a name in a Hugging Face checkpoint.
    pub(super) fn weight(&self, name: &str) -> Var<B> {
        self.weights.var(&self.model.parameters, name)
    }

    fn of_layer(&self, layer: usize, part: &str) -> Var<B> {
        self.weight(&weight_name(layer, part))
    }

    /// States `(T', D)` before the last normalisation, and the sequences' offsets, soft prompt rows
    /// counted.
    fn hidden(
        &self,
        graph: &mut Graph<B>,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
        dropouts: &mut Dropouts,
    ) -> (Var<B>, Arc<[usize]>) {
        let table = self.weight(EMBEDDING);
        let (x, offsets) = embedding(graph, &table, prompts, inputs, prompt_of);
        let mut x = dropout(graph, &x, dropouts.next());
        let angles = self.angles(graph.device(), positions(&offsets));
        for layer in 0..self.config().num_hidden_layers {
            let keys = dropouts.take();
            let (pass, angles, offsets) = (self.clone(), angles.clone(), offsets.clone());
            let block = move |graph: &mut Graph<B>, inputs: &[Var<B>]| {
                pass.block(graph, layer, &inputs[0], &angles, &offsets, keys)
            };
            x = if self.recompute {
                recomputed(graph, vec![x], self.weights.want_gradients(), block)
            } else {
                block(graph, &[x])
            };
        }
        (x, offsets)
    }

    fn block(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        angles: &Angles<B>,
        offsets: &Arc<[usize]>,
        [in_attention, after_attention, after_mlp]: [Option<DropoutKey>; 3],
    ) -> Var<B> {
        let [q, k, v] = self.queries_keys_values(graph, layer, x, angles);
        let layout = self.layout(offsets, offsets, true, in_attention);
        let attended = attention(graph, &q, &k, &v, None, &layout);
        self.rest_of_block(graph, layer, x, &attended, [after_attention, after_mlp])
    }

    /// Queries `(T, H * d_head)`, keys and values `(T, G * d_head)`, turned by their positions.
    pub(super) fn queries_keys_values(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        angles: &Angles<B>,
    ) -> [Var<B>; 3] {
        let norm = self.of_layer(layer, "input_layernorm");
        let projections = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
            .map(|part| self.of_layer(layer, part));
        let qkv = norm_linears(graph, x, &norm, &projections, self.config().rms_norm_eps);
        let [q, k, v] = <[Var<B>; 3]>::try_from(qkv).unwrap_or_else(|_| unreachable!("three"));
        [rope(graph, &q, angles), rope(graph, &k, angles), v]
    }

    /// From what attention found to the block's output, both residuals included.
    pub(super) fn rest_of_block(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        attended: &Var<B>,
        [after_attention, after_mlp]: [Option<DropoutKey>; 2],
    ) -> Var<B> {
        let output = self.of_layer(layer, "self_attn.o_proj");
        let x = linear_add(graph, x, attended, &output, after_attention);
        let weights = feed_forward::Weights {
            norm: self.of_layer(layer, "post_attention_layernorm"),
            gate: Some(self.of_layer(layer, "mlp.gate_proj")),
            up: self.of_layer(layer, "mlp.up_proj"),
            down: self.of_layer(layer, "mlp.down_proj"),
            activation: Activation::GatedSilu,
        };
        let eps = self.config().rms_norm_eps;
        feed_forward(graph, &x, &weights, eps, [None, after_mlp])
    }

    fn norm(&self, graph: &mut Graph<B>, name: &str, x: &Var<B>) -> Var<B> {
        rms_norm(graph, x, &self.weight(name), self.config().rms_norm_eps)
    }

    /// Logits `(T, V)` of the token after each state.
    pub(super) fn logits(&self, graph: &mut Graph<B>, hidden: &Var<B>) -> Var<B> {
        let hidden = self.norm(graph, FINAL_NORM, hidden);
        crate::ops::linear::linear(graph, &hidden, &self.head())
    }

    /// The output head, `(V, D)`.
    fn head(&self) -> Var<B> {
        self.weight(if self.model.tied { EMBEDDING } else { HEAD })
    }

    /// The rotations of tokens at these positions.
    pub(super) fn angles(
        &self,
        device: &B,
        positions: impl ExactSizeIterator<Item = usize>,
    ) -> Angles<B> {
        Angles::new(
            device,
            positions,
            self.config().d_head(),
            self.config().theta(),
        )
    }

    pub(super) fn layout(
        &self,
        q_offsets: &Arc<[usize]>,
        kv_offsets: &Arc<[usize]>,
        causal: bool,
        dropout: Option<DropoutKey>,
    ) -> Layout {
        Layout {
            q_offsets: q_offsets.clone(),
            kv_offsets: kv_offsets.clone(),
            shared_keys: false,
            num_heads: self.config().num_attention_heads,
            num_kv_heads: self.config().num_kv_heads(),
            causal,
            scale: (self.config().d_head() as f32).powf(-0.5),
            dropout,
        }
    }
}

/// The position of every token in its own sequence.
pub(super) fn positions(offsets: &[usize]) -> std::vec::IntoIter<usize> {
    let rows = offsets
        .windows(2)
        .flat_map(|window| 0..window[1] - window[0]);
    rows.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests;
