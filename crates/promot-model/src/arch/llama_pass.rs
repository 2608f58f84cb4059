//! One pass through a Llama: embedded tokens, blocks, and what predicts target tokens.

use std::ops::Range;
use std::sync::Arc;

use promot_core::Ragged;

use super::llama::{EMBEDDING, FINAL_NORM, HEAD, KEYS, Llama, QUERIES, VALUES, weight_name};
use super::llama_config::LlamaConfig;
use super::llama_sequences::{Picked, Places, Sequences};
use super::loss::Dropouts;
use super::weights::{Changed, PassWeights};
use crate::backend::Backend;
use crate::graph::{Graph, Var};
use crate::ops::attention::{Layout, attention};
use crate::ops::dropout::{DropoutKey, dropout};
use crate::ops::embedding::embedding;
use crate::ops::feed_forward::{self, Activation, feed_forward};
use crate::ops::linear::linear;
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::rms_norm::rms_norm;
use crate::ops::rope::{Angles, rope};
use crate::ops::select_rows::select_rows;

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
    pub(super) fn new(model: Llama<B>, tuned: bool, changed: Changed<B>, recompute: bool) -> Self {
        let weights = PassWeights::new(model.parameters(), tuned, recompute, changed, sublayer);
        Self { model, weights }
    }

    fn config(&self) -> &LlamaConfig {
        self.model.config()
    }

    /// The weight of a name in a Hugging Face checkpoint.
    pub(super) fn weight(&self, name: &str) -> Var<B> {
        self.weights.var(self.model.parameters(), name)
    }

    fn of_layer(&self, layer: usize, part: &str) -> Var<B> {
        self.weight(&weight_name(layer, part))
    }

    /// States `(T', D)` of all tokens before the last normalisation, and where each sequence starts,
    /// soft prompt rows counted.
    pub(super) fn states(
        &self,
        graph: &mut Graph<B>,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> (Var<B>, Arc<[usize]>) {
        let table = self.weight(EMBEDDING);
        let (x, offsets) = embedding(graph, &table, prompts, inputs, prompt_of);
        let view = View {
            angles: self.angles(graph.device(), positions(&offsets)),
            offsets: offsets.clone(),
            seen: None,
        };
        let layers = 0..self.config().num_hidden_layers;
        let x = self.blocks(graph, x, layers, &view, &mut Dropouts::new(None));
        (x, offsets)
    }

    /// States of the tokens that predict one of a target, before the last normalisation.
    pub(super) fn predicting(
        &self,
        graph: &mut Graph<B>,
        sequences: &Sequences,
        prompts: &[Var<B>],
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        let table = self.weight(EMBEDDING);
        let (tokens, prompt_of) = (&sequences.tokens, &sequences.prompt_of);
        let (x, offsets) = embedding(graph, &table, prompts, tokens, prompt_of);
        let places = Places::new(sequences, offsets);
        let predicting = places.predicting;
        let positions = &places.positions;
        let at = |&row: &u32| positions[row as usize];
        let asking: Vec<usize> = predicting.rows.iter().map(at).collect();
        let asking = self.angles(graph.device(), asking.into_iter());
        let view = View {
            angles: self.angles(graph.device(), places.positions.into_iter()),
            offsets: places.offsets,
            seen: places.seen,
        };
        let x = dropout(graph, &x, dropouts.next());
        let last = self.config().num_hidden_layers - 1;
        let x = self.blocks(graph, x, 0..last, &view, dropouts);
        let keys = dropouts.take();
        let pass = self.clone();
        self.weights.block(graph, &[&x], move |graph, inputs| {
            pass.last_block(graph, &inputs[0], &view, &predicting, &asking, keys)
        })
    }

    /// What some layers make of `x`, `(T', D)`.
    fn blocks(
        &self,
        graph: &mut Graph<B>,
        mut x: Var<B>,
        layers: Range<usize>,
        view: &View<B>,
        dropouts: &mut Dropouts,
    ) -> Var<B> {
        for layer in layers {
            let keys = dropouts.take();
            let (pass, view) = (self.clone(), view.clone());
            x = self.weights.block(graph, &[&x], move |graph, inputs| {
                pass.block(graph, layer, &inputs[0], &view, keys)
            });
        }
        x
    }

    fn block(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        view: &View<B>,
        [in_attention, after_attention, after_mlp]: [Option<DropoutKey>; 3],
    ) -> Var<B> {
        let [q, k, v] = self.queries_keys_values(graph, layer, x, &view.angles);
        let [k, v] = view.seen(graph, [k, v]);
        let layout = self.layout(&view.offsets, view.seen_offsets(), true, in_attention);
        let attended = attention(graph, &q, &k, &v, None, &layout);
        self.rest_of_block(graph, layer, x, &attended, [after_attention, after_mlp])
    }

    /// The last block for the tokens that predict something, at the positions of `asking`: of the
    /// others it needs keys and values only.
    fn last_block(
        &self,
        graph: &mut Graph<B>,
        x: &Var<B>,
        view: &View<B>,
        predicting: &Picked,
        asking: &Angles<B>,
        [in_attention, after_attention, after_mlp]: [Option<DropoutKey>; 3],
    ) -> Var<B> {
        let layer = self.config().num_hidden_layers - 1;
        let [k, v] = self.projected(graph, layer, x, [KEYS, VALUES]);
        let k = rope(graph, &k, &view.angles);
        let [k, v] = view.seen(graph, [k, v]);
        let x = select_rows(graph, x, predicting.rows.clone());
        let [q] = self.projected(graph, layer, &x, [QUERIES]);
        let q = rope(graph, &q, asking);
        let layout = self.layout(&predicting.offsets, view.seen_offsets(), true, in_attention);
        let attended = attention(graph, &q, &k, &v, None, &layout);
        self.rest_of_block(graph, layer, &x, &attended, [after_attention, after_mlp])
    }

    /// Queries `(T, H * d_head)`, keys and values `(T, G * d_head)`, turned by their positions.
    pub(super) fn queries_keys_values(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        angles: &Angles<B>,
    ) -> [Var<B>; 3] {
        let [q, k, v] = self.projected(graph, layer, x, [QUERIES, KEYS, VALUES]);
        [rope(graph, &q, angles), rope(graph, &k, angles), v]
    }

    /// Projections of the normalised input of a layer's attention, not turned.
    fn projected<const N: usize>(
        &self,
        graph: &mut Graph<B>,
        layer: usize,
        x: &Var<B>,
        parts: [&str; N],
    ) -> [Var<B>; N] {
        let norm = self.of_layer(layer, "input_layernorm");
        let projections = parts.map(|part| self.of_layer(layer, part));
        let outputs = norm_linears(graph, x, &norm, &projections, self.config().rms_norm_eps);
        let outputs = <[Var<B>; N]>::try_from(outputs);
        outputs.unwrap_or_else(|_| unreachable!("one for each weight"))
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

    /// The last normalisation, of states `(T, D)`.
    pub(super) fn final_norm(&self, graph: &mut Graph<B>, x: &Var<B>) -> Var<B> {
        let weight = self.weight(FINAL_NORM);
        rms_norm(graph, x, &weight, self.config().rms_norm_eps)
    }

    /// Logits `(T, V)` of the token after each state.
    pub(super) fn logits(&self, graph: &mut Graph<B>, hidden: &Var<B>) -> Var<B> {
        let hidden = self.final_norm(graph, hidden);
        linear(graph, &hidden, &self.head())
    }

    /// The output head, `(V, D)`.
    pub(super) fn head(&self) -> Var<B> {
        self.weight(if self.model.is_tied() {
            EMBEDDING
        } else {
            HEAD
        })
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

/// What the tokens of a pass are to each other.
struct View<B: Backend> {
    /// The rotations of all tokens.
    angles: Angles<B>,
    /// Where each sequence's tokens start.
    offsets: Arc<[usize]>,
    /// The tokens that each sequence sees, if these are not its own.
    seen: Option<Picked>,
}

impl<B: Backend> Clone for View<B> {
    /// Shares the memory of all of it.
    fn clone(&self) -> Self {
        Self {
            angles: self.angles.clone(),
            offsets: self.offsets.clone(),
            seen: self.seen.clone(),
        }
    }
}

impl<B: Backend> View<B> {
    /// Keys and values that the sequences see, one sequence after another, of those of all tokens.
    fn seen(&self, graph: &mut Graph<B>, of_tokens: [Var<B>; 2]) -> [Var<B>; 2] {
        match &self.seen {
            Some(seen) => of_tokens.map(|of| select_rows(graph, &of, seen.rows.clone())),
            None => of_tokens,
        }
    }

    /// Where each sequence's keys and values start among those.
    fn seen_offsets(&self) -> &Arc<[usize]> {
        let seen = self.seen.as_ref();
        seen.map_or(&self.offsets, |seen| &seen.offsets)
    }
}

/// The position of every token in its own sequence.
pub(super) fn positions(offsets: &[usize]) -> std::vec::IntoIter<usize> {
    let rows = offsets
        .windows(2)
        .flat_map(|window| 0..window[1] - window[0]);
    rows.collect::<Vec<_>>().into_iter()
}
