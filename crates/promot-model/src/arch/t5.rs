//! T5: encoder and decoder over ragged batches, with soft prompts before the input.
//!
//! One model for v1.0 (ReLU, the head is the embedding table, logits scaled by `d_model^-0.5`) and
//! v1.1/mT5 (gated GELU, a head of its own, unscaled). Names and computation are those of
//! Hugging Face transformers' `T5ForConditionalGeneration`.

use std::sync::Arc;

use promot_core::{Ragged, Seed, TokenBatch};

use super::t5_config::{FeedForward, T5Config};
use super::t5_init::{initial_values, layout};
use crate::backend::{Backend, Device, Shape};
use crate::checkpoint::CheckpointError;
use crate::graph::{Graph, Var};
use crate::ops::attention::{BucketMap, Layout, RelativeBias, attention};
use crate::ops::cross_entropy::{LabelSmoothing, cross_entropy};
use crate::ops::dropout::{DropoutKey, dropout};
use crate::ops::embedding::embedding;
use crate::ops::feed_forward::{self, feed_forward};
use crate::ops::linear::linear;
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::rms_norm::rms_norm;
use crate::param::ParameterSet;

/// A T5 on a device.
pub struct T5<D: Device> {
    pub(super) device: D,
    config: T5Config,
    parameters: ParameterSet<D>,
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

/// Names of one stack's parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    Encoder,
    Decoder,
}

impl Stack {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        }
    }
}

/// The model's weights as variables of one pass: leaves where they are tuned.
pub(super) struct Weights<'m, D: Device> {
    model: &'m T5<D>,
    tuned: bool,
}

impl<D: Device> Weights<'_, D> {
    pub(super) fn get(&self, name: &str) -> Var<D> {
        let index = self.model.parameters.index_of(name);
        let index = index.unwrap_or_else(|| panic!("parameter {name} of a checked model"));
        let tensor = self.model.parameters.tensor(index).clone();
        if self.tuned {
            Var::leaf(tensor)
        } else {
            Var::constant(tensor)
        }
    }
}

/// Hands out a dropout key for each place of a pass, in order.
pub(super) struct Dropouts {
    key: Option<DropoutKey>,
    place: u64,
}

impl Dropouts {
    pub(super) fn new(key: Option<DropoutKey>) -> Self {
        Self { key, place: 0 }
    }

    fn next(&mut self) -> Option<DropoutKey> {
        self.place += 1;
        self.key.map(|key| key.at(self.place))
    }
}

/// How a training loss is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossOptions {
    /// Whether the model's weights want gradients; soft prompts say so themselves.
    pub tune_model: bool,
    /// Label smoothing.
    pub smoothing: LabelSmoothing,
    /// Dropout, with a key of its own for every step.
    pub dropout: Option<DropoutKey>,
}

impl<B: Backend> T5<B> {
    /// A model with random weights, distributed as transformers initialises T5.
    pub fn new(device: &B, config: T5Config, tied: bool, seed: Seed) -> Self {
        let mut parameters = ParameterSet::new();
        for (name, shape) in layout(&config, tied) {
            let values = initial_values(&config, &name, shape, seed);
            parameters.push(name, device.tensor(device.upload(values), shape));
        }
        Self {
            device: device.clone(),
            config: T5Config {
                tie_word_embeddings: tied,
                ..config
            },
            parameters,
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
        mut tensors: std::collections::BTreeMap<String, (Vec<f32>, Vec<usize>)>,
    ) -> Result<Self, CheckpointError> {
        // The shared table may be stored once, or again under each stack's name.
        for alias in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
            if let Some(table) = tensors.remove(alias) {
                tensors.entry("shared.weight".to_owned()).or_insert(table);
            }
        }
        let tied = !tensors.contains_key("lm_head.weight");
        let mut parameters = ParameterSet::new();
        for (name, shape) in layout(&config, tied) {
            let Some((values, found)) = tensors.remove(&name) else {
                return Err(CheckpointError::MissingTensor { name });
            };
            if !same_shape(&found, shape) {
                return Err(CheckpointError::Shape {
                    name,
                    found,
                    expected: expected_dims(shape),
                });
            }
            parameters.push(name, device.tensor(device.upload(values), shape));
        }
        if let Some(name) = tensors.into_keys().next() {
            return Err(CheckpointError::UnexpectedTensor { name });
        }
        Ok(Self {
            device: device.clone(),
            config: T5Config {
                tie_word_embeddings: tied,
                ..config
            },
            parameters,
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
        &mut self.parameters
    }

    /// Whether the head is the embedding table.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    pub(super) fn weights(&self, tuned: bool) -> Weights<'_, B> {
        Weights { model: self, tuned }
    }

    /// The mean loss over the batch's target tokens, in nats, as a `(1, 1)` variable.
    ///
    /// `prompts` are soft prompts `(P, D)`, which `batch.prompts` refers to; those that are leaves
    /// get gradients.
    pub fn loss(
        &self,
        graph: &mut Graph<B>,
        batch: &TokenBatch,
        prompts: &[Var<B>],
        options: &LossOptions,
    ) -> Var<B> {
        let weights = self.weights(options.tune_model);
        let mut dropouts = Dropouts::new(options.dropout);
        let (encoded, offsets) = self.encoder(
            graph,
            &weights,
            &batch.inputs,
            prompts,
            &batch.prompts,
            &mut dropouts,
        );
        let hidden = self.decoder(
            graph,
            &weights,
            &batch.targets,
            &encoded,
            &offsets,
            &mut dropouts,
        );
        let scale = self.config.logit_scale(self.tied);
        let targets = batch.targets.ids();
        cross_entropy(
            graph,
            &hidden,
            &self.head(&weights),
            targets,
            options.smoothing,
            scale,
        )
    }

    /// Encoder states `(T', D)` and the sequences' offsets, soft prompt rows counted.
    pub(super) fn encoder(
        &self,
        graph: &mut Graph<B>,
        weights: &Weights<'_, B>,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
        dropouts: &mut Dropouts,
    ) -> (Var<B>, Arc<[usize]>) {
        let table = weights.get("shared.weight");
        let (x, offsets) = embedding(graph, &table, prompts, inputs, prompt_of);
        let mut x = dropout(graph, &x, dropouts.next());
        let bias = self.relative_bias(weights, Stack::Encoder);
        for block in 0..self.config.num_layers {
            let layer = format!("encoder.block.{block}.layer");
            let layout = self.layout(&offsets, &offsets, false, dropouts.next());
            let name = format!("{layer}.0");
            x = self.self_attention(graph, weights, &name, &x, &bias, &layout, dropouts);
            x = self.feed_forward(graph, weights, &format!("{layer}.1"), &x, dropouts);
        }
        let x = self.norm(graph, weights, "encoder.final_layer_norm.weight", &x);
        (dropout(graph, &x, dropouts.next()), offsets)
    }

    /// Decoder states `(T, D)` that predict `targets`, which are shifted right for the input.
    fn decoder(
        &self,
        graph: &mut Graph<B>,
        weights: &Weights<'_, B>,
        targets: &Ragged,
        encoded: &Var<B>,
        encoded_offsets: &Arc<[usize]>,
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        let inputs = self.shift_right(targets);
        let table = weights.get("shared.weight");
        let (x, offsets) = embedding(graph, &table, &[], &inputs, &vec![None; inputs.len()]);
        let mut x = dropout(graph, &x, dropouts.next());
        let bias = self.relative_bias(weights, Stack::Decoder);
        for block in 0..self.config.decoder_layers() {
            let layer = format!("decoder.block.{block}.layer");
            let layout = self.layout(&offsets, &offsets, true, dropouts.next());
            let name = format!("{layer}.0");
            x = self.self_attention(graph, weights, &name, &x, &bias, &layout, dropouts);

            let name = format!("{layer}.1.EncDecAttention");
            let norm = weights.get(&format!("{layer}.1.layer_norm.weight"));
            let q = weights.get(&format!("{name}.q.weight"));
            let eps = self.config.layer_norm_epsilon;
            let q = norm_linears(graph, &x, &norm, &[q], eps).remove(0);
            let k = linear(graph, encoded, &weights.get(&format!("{name}.k.weight")));
            let v = linear(graph, encoded, &weights.get(&format!("{name}.v.weight")));
            let layout = self.layout(&offsets, encoded_offsets, false, dropouts.next());
            let attended = attention(graph, &q, &k, &v, None, &layout);
            let o = weights.get(&format!("{name}.o.weight"));
            x = linear_add(graph, &x, &attended, &o, dropouts.next());

            x = self.feed_forward(graph, weights, &format!("{layer}.2"), &x, dropouts);
        }
        let x = self.norm(graph, weights, "decoder.final_layer_norm.weight", &x);
        dropout(graph, &x, dropouts.next())
    }

    /// The self-attention sublayer, residual included.
    #[allow(clippy::too_many_arguments)] // a pass, its weights, and what attention itself takes
    fn self_attention(
        &self,
        graph: &mut Graph<B>,
        weights: &Weights<'_, B>,
        layer: &str,
        x: &Var<B>,
        bias: &RelativeBias<B>,
        layout: &Layout,
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        let weight = |part: &str| weights.get(&format!("{layer}.SelfAttention.{part}.weight"));
        let norm = weights.get(&format!("{layer}.layer_norm.weight"));
        let projections = [weight("q"), weight("k"), weight("v")];
        let eps = self.config.layer_norm_epsilon;
        let qkv = norm_linears(graph, x, &norm, &projections, eps);
        let attended = attention(graph, &qkv[0], &qkv[1], &qkv[2], Some(bias), layout);
        linear_add(graph, x, &attended, &weight("o"), dropouts.next())
    }

    /// The feed-forward sublayer, residual included.
    pub(super) fn feed_forward(
        &self,
        graph: &mut Graph<B>,
        weights: &Weights<'_, B>,
        layer: &str,
        x: &Var<B>,
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        let weight = |part: &str| weights.get(&format!("{layer}.DenseReluDense.{part}.weight"));
        let (gate, up) = match self.config.feed_forward_proj {
            FeedForward::Relu => (None, weight("wi")),
            FeedForward::GatedGelu => (Some(weight("wi_0")), weight("wi_1")),
        };
        let layer_weights = feed_forward::Weights {
            norm: weights.get(&format!("{layer}.layer_norm.weight")),
            gate,
            up,
            down: weight("wo"),
        };
        let dropouts = [dropouts.next(), dropouts.next()];
        let eps = self.config.layer_norm_epsilon;
        feed_forward(graph, x, &layer_weights, eps, dropouts)
    }

    pub(super) fn norm(
        &self,
        graph: &mut Graph<B>,
        weights: &Weights<'_, B>,
        name: &str,
        x: &Var<B>,
    ) -> Var<B> {
        rms_norm(graph, x, &weights.get(name), self.config.layer_norm_epsilon)
    }

    /// The position bias, which every layer of a stack shares.
    pub(super) fn relative_bias(&self, weights: &Weights<'_, B>, stack: Stack) -> RelativeBias<B> {
        let name = stack.name();
        let name = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        RelativeBias {
            table: weights.get(&name),
            buckets: BucketMap {
                num_buckets: self.config.relative_attention_num_buckets,
                max_distance: self.config.relative_attention_max_distance,
                bidirectional: stack == Stack::Encoder,
            },
        }
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
            num_heads: self.config.num_heads,
            causal,
            // T5 folds the usual 1/sqrt(d_kv) into the initialisation of its weights.
            scale: 1.0,
            dropout,
        }
    }

    /// The output head, `(V, D)`.
    pub(super) fn head(&self, weights: &Weights<'_, B>) -> Var<B> {
        weights.get(if self.tied {
            "shared.weight"
        } else {
            "lm_head.weight"
        })
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

/// A shape as it stands in a checkpoint: vectors have one dimension there.
fn expected_dims(shape: Shape) -> Vec<usize> {
    if shape.0 == 1 {
        vec![shape.1]
    } else {
        vec![shape.0, shape.1]
    }
}

fn same_shape(found: &[usize], shape: Shape) -> bool {
    found == [shape.0, shape.1] || (shape.0 == 1 && found == [shape.1])
}
