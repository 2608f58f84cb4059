//! One pass through a T5: its blocks, read top to bottom.

use std::sync::Arc;

use promot_core::Ragged;

use super::loss::Dropouts;
use super::t5::{EMBEDDING, T5};
use super::t5_config::{FeedForward, T5Config};
use super::weights::{Changed, PassWeights};
use crate::backend::Backend;
use crate::graph::{Graph, Var};
use crate::ops::attention::{BucketMap, Layout, RelativeBias};
use crate::ops::cross_attention::cross_attention;
use crate::ops::dropout::{DropoutKey, dropout};
use crate::ops::embedding::embedding;
use crate::ops::feed_forward::{self, Activation, feed_forward};
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::rms_norm::rms_norm;
use crate::ops::self_attention::{self, self_attention};

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

/// Which sublayer a weight is of: `encoder.block.0.layer.1` and the like.
fn sublayer(name: &str) -> Option<(&str, bool)> {
    let (block, rest) = name.split_once(".layer.")?;
    let number = rest.split('.').next()?;
    let end = block.len() + ".layer.".len() + number.len();
    Some((&name[..end], false))
}

/// A model's weights as variables of one pass: leaves where they are tuned.
///
/// A clone shares them: a block that is computed again later holds on to one.
pub(super) struct Pass<B: Backend> {
    model: T5<B>,
    weights: PassWeights<B>,
}

impl<B: Backend> Clone for Pass<B> {
    fn clone(&self) -> Self {
        Self {
            model: self.model.clone(),
            weights: self.weights.clone(),
        }
    }
}

impl<B: Backend> Pass<B> {
    pub(super) fn new(model: T5<B>, tuned: bool, changed: Changed<B>, recompute: bool) -> Self {
        let weights = PassWeights::new(model.parameters(), tuned, recompute, changed, sublayer);
        Self { model, weights }
    }

    fn config(&self) -> &T5Config {
        self.model.config()
    }

    /// The weight of a name in a Hugging Face checkpoint.
    pub(super) fn weight(&self, name: &str) -> Var<B> {
        self.weights.var(self.model.parameters(), name)
    }

    /// Encoder states `(T', D)` and the sequences' offsets, soft prompt rows counted.
    pub(super) fn encoder(
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
        let bias = self.relative_bias(Stack::Encoder);
        for block in 0..self.config().num_layers {
            let keys = dropouts.take();
            let (pass, bias, offsets) = (self.clone(), bias.clone(), offsets.clone());
            x = self.weights.block(graph, &[&x], move |graph, inputs| {
                pass.encoder_block(graph, block, &inputs[0], &bias, &offsets, keys)
            });
        }
        let x = self.norm(graph, "encoder.final_layer_norm.weight", &x);
        (dropout(graph, &x, dropouts.next()), offsets)
    }

    fn encoder_block(
        &self,
        graph: &mut Graph<B>,
        block: usize,
        x: &Var<B>,
        bias: &RelativeBias<B>,
        offsets: &Arc<[usize]>,
        [in_attention, after_attention, hidden, output]: [Option<DropoutKey>; 4],
    ) -> Var<B> {
        let layer = format!("encoder.block.{block}.layer");
        let layout = self.layout(offsets, offsets, false, in_attention);
        let name = format!("{layer}.0");
        let x = self.self_attention(graph, &name, x, bias, &layout, after_attention);
        self.feed_forward(graph, &format!("{layer}.1"), &x, [hidden, output])
    }

    /// Decoder states `(T, D)`, one for each of `inputs`.
    pub(super) fn decoder(
        &self,
        graph: &mut Graph<B>,
        inputs: &Ragged,
        encoded: &Var<B>,
        encoded_offsets: &Arc<[usize]>,
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        let table = self.weight(EMBEDDING);
        let (x, offsets) = embedding(graph, &table, &[], inputs, &vec![None; inputs.len()]);
        let mut x = dropout(graph, &x, dropouts.next());
        let bias = self.relative_bias(Stack::Decoder);
        for block in 0..self.config().decoder_layers() {
            let keys = dropouts.take();
            let (pass, bias) = (self.clone(), bias.clone());
            let offsets = [offsets.clone(), encoded_offsets.clone()];
            x = self
                .weights
                .block(graph, &[&x, encoded], move |graph, inputs| {
                    pass.decoder_block(graph, block, inputs, &bias, &offsets, keys)
                });
        }
        let x = self.norm(graph, "decoder.final_layer_norm.weight", &x);
        dropout(graph, &x, dropouts.next())
    }

    /// `inputs` are the decoder's and the encoder's states, `offsets` are theirs.
    fn decoder_block(
        &self,
        graph: &mut Graph<B>,
        block: usize,
        inputs: &[Var<B>],
        bias: &RelativeBias<B>,
        [offsets, encoded_offsets]: &[Arc<[usize]>; 2],
        keys: [Option<DropoutKey>; 6],
    ) -> Var<B> {
        let [
            in_attention,
            after_attention,
            in_cross,
            after_cross,
            hidden,
            output,
        ] = keys;
        let (x, encoded) = (&inputs[0], &inputs[1]);
        let layer = format!("decoder.block.{block}.layer");
        let layout = self.layout(offsets, offsets, true, in_attention);
        let name = format!("{layer}.0");
        let x = self.self_attention(graph, &name, x, bias, &layout, after_attention);

        let name = format!("{layer}.1.EncDecAttention");
        let norm = self.weight(&format!("{layer}.1.layer_norm.weight"));
        let weight = |part: &str| self.weight(&format!("{name}.{part}.weight"));
        let eps = self.config().layer_norm_epsilon;
        let q = norm_linears(graph, &x, &norm, &[weight("q")], eps).remove(0);
        let projections = [&weight("k"), &weight("v")];
        let layout = self.layout(offsets, encoded_offsets, false, in_cross);
        let attended = cross_attention(graph, &q, encoded, projections, &layout);
        let x = linear_add(graph, &x, &attended, &weight("o"), after_cross);

        self.feed_forward(graph, &format!("{layer}.2"), &x, [hidden, output])
    }

    /// The self-attention sublayer, residual included.
    fn self_attention(
        &self,
        graph: &mut Graph<B>,
        layer: &str,
        x: &Var<B>,
        bias: &RelativeBias<B>,
        layout: &Layout,
        dropout: Option<DropoutKey>,
    ) -> Var<B> {
        let weight = |part: &str| self.weight(&format!("{layer}.SelfAttention.{part}.weight"));
        let norm = self.weight(&format!("{layer}.layer_norm.weight"));
        let weights = self_attention::Weights {
            norm,
            q: weight("q"),
            k: weight("k"),
            v: weight("v"),
            o: weight("o"),
        };
        let eps = self.config().layer_norm_epsilon;
        self_attention(graph, x, &weights, Some(bias), layout, (eps, dropout))
    }

    /// The feed-forward sublayer, residual included.
    pub(super) fn feed_forward(
        &self,
        graph: &mut Graph<B>,
        layer: &str,
        x: &Var<B>,
        dropouts: [Option<DropoutKey>; 2],
    ) -> Var<B> {
        let weight = |part: &str| self.weight(&format!("{layer}.DenseReluDense.{part}.weight"));
        let (activation, gate, up) = match self.config().feed_forward_proj {
            FeedForward::Relu => (Activation::Relu, None, weight("wi")),
            FeedForward::GatedGelu => (Activation::GatedGelu, Some(weight("wi_0")), weight("wi_1")),
        };
        let layer_weights = feed_forward::Weights {
            norm: self.weight(&format!("{layer}.layer_norm.weight")),
            gate,
            up,
            down: weight("wo"),
            activation,
        };
        let eps = self.config().layer_norm_epsilon;
        feed_forward(graph, x, &layer_weights, eps, dropouts)
    }

    pub(super) fn norm(&self, graph: &mut Graph<B>, name: &str, x: &Var<B>) -> Var<B> {
        rms_norm(
            graph,
            x,
            &self.weight(name),
            self.config().layer_norm_epsilon,
        )
    }

    /// The position bias, which every layer of a stack shares.
    pub(super) fn relative_bias(&self, stack: Stack) -> RelativeBias<B> {
        let name = stack.name();
        let name = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        RelativeBias {
            table: self.weight(&name),
            buckets: BucketMap {
                num_buckets: self.config().relative_attention_num_buckets,
                max_distance: self.config().relative_attention_max_distance,
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
            shared_keys: false,
            num_heads: self.config().num_heads,
            num_kv_heads: self.config().num_heads,
            causal,
            // T5 folds the usual 1/sqrt(d_kv) into the initialisation of its weights.
            scale: 1.0,
            dropout,
        }
    }

    /// The output head, `(V, D)`.
    pub(super) fn head(&self) -> Var<B> {
        self.weight(if self.model.is_tied() {
            EMBEDDING
        } else {
            "lm_head.weight"
        })
    }
}
