//! Decoding with cached keys and values: one token a row and step.

use std::sync::Arc;

use promot_core::Ragged;

use super::loss::Dropouts;
use super::t5::{EMBEDDING, T5};
use super::t5_pass::Stack;
use crate::backend::Backend;
use crate::generate::{Decoder, NextTokens};
use crate::graph::{Graph, Var};
use crate::ops::attention::{FixedKeys, merge_parts};
use crate::ops::embedding::embedding;
use crate::ops::kv_cache::KvCache;
use crate::ops::linear::linear;
use crate::ops::projection::{linear_add, norm_linears};

/// Encoder states of a batch.
pub struct Encoded<B: Backend> {
    states: Var<B>,
    offsets: Arc<[usize]>,
}

impl<B: Backend> Encoded<B> {
    /// Encoder states, `(T', D)`, soft prompt rows included.
    pub fn states(&self) -> &Var<B> {
        &self.states
    }

    /// Where each sequence starts, and the end of the last one: `[B + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }
}

impl<B: Backend> T5<B> {
    /// Encodes a ragged batch, each sequence after its soft prompt if it has one.
    pub fn encode(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> Encoded<B> {
        let mut graph = Graph::inference(&self.device);
        let mut dropouts = Dropouts::new(None);
        let pass = self.inference();
        let (states, offsets) = pass.encoder(&mut graph, inputs, prompts, prompt_of, &mut dropouts);
        Encoded { states, offsets }
    }

    /// A decoder with one row for each encoded sequence.
    pub fn decoder_for(&self, encoded: &Encoded<B>) -> T5Decoder<'_, B> {
        let mut graph = Graph::inference(&self.device);
        let pass = self.inference();
        let sources = encoded.offsets.len() - 1;
        let layers = (0..self.config().decoder_layers())
            .map(|block| {
                let name = format!("decoder.block.{block}.layer.1.EncDecAttention");
                let mut project = |part: &str| {
                    let weight = pass.weight(&format!("{name}.{part}.weight"));
                    linear(&mut graph, &encoded.states, &weight)
                };
                let [k, v] = ["k", "v"].map(&mut project);
                let heads = self.config().num_heads;
                LayerCache {
                    cross: FixedKeys::new(&self.device, &k, &v, &encoded.offsets, heads),
                    own: KvCache::default(),
                }
            })
            .collect();
        T5Decoder {
            model: self,
            source_offsets: encoded.offsets.clone(),
            source_of: (0..sources).collect(),
            continued: (0..sources).collect(),
            layers,
            steps: 0,
        }
    }
}

/// One layer's keys and values.
struct LayerCache<B: Backend> {
    /// Of all encoded sequences: computed once, shared by all beams of a source.
    cross: FixedKeys<B>,
    /// Of the rows' own tokens.
    own: KvCache<B>,
}

/// Decodes one token a row and step.
pub struct T5Decoder<'m, B: Backend> {
    model: &'m T5<B>,
    source_offsets: Arc<[usize]>,
    /// Which encoded sequence each row answers; rows of one source stand next to each other.
    source_of: Vec<usize>,
    /// Which row of the last step each row continues.
    continued: Vec<usize>,
    layers: Vec<LayerCache<B>>,
    steps: usize,
}

impl<B: Backend> T5Decoder<'_, B> {
    /// Where each source's rows start: as many queries of its keys and values as it has beams, none
    /// once it is finished. So nothing is copied, neither for beams nor when rows leave.
    fn cross_offsets(&self) -> Arc<[usize]> {
        let mut rows = vec![0; self.source_offsets.len() - 1];
        self.source_of.iter().for_each(|&source| rows[source] += 1);
        offsets_of(rows.into_iter())
    }
}

fn offsets_of(lengths: impl Iterator<Item = usize>) -> Arc<[usize]> {
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl<B: Backend> Decoder for T5Decoder<'_, B> {
    type Device = B;

    fn step(&mut self, tokens: &[u32]) -> NextTokens<B> {
        assert_eq!(tokens.len(), self.source_of.len(), "one token a row");
        self.steps += 1;
        let model = self.model;
        let pass = model.inference();
        let mut graph = Graph::inference(&model.device);
        let eps = model.config().layer_norm_epsilon;
        let rows = Ragged::from_rows(tokens.chunks(1));
        let table = pass.weight(EMBEDDING);
        let (mut x, q_offsets) = embedding(&mut graph, &table, &[], &rows, &vec![None; rows.len()]);
        let kv_offsets = offsets_of(tokens.iter().map(|_| self.steps));
        let bias = pass.relative_bias(Stack::Decoder);
        let cross_offsets = self.cross_offsets();
        for block in 0..model.config().decoder_layers() {
            let layer = format!("decoder.block.{block}.layer");

            let name = format!("{layer}.0.SelfAttention");
            let norm = pass.weight(&format!("{layer}.0.layer_norm.weight"));
            let projections =
                ["q", "k", "v"].map(|part| pass.weight(&format!("{name}.{part}.weight")));
            let qkv = norm_linears(&mut graph, &x, &norm, &projections, eps);
            let [q, k, v] = &qkv[..] else {
                unreachable!("three projections")
            };
            let own = &mut self.layers[block].own;
            own.extend(&model.device, k, v, &self.continued);
            let layout = pass.layout(&q_offsets, &kv_offsets, true, None);
            let attended = own.attention_part(&model.device, q, Some(&bias), &layout);
            let heads = model.config().num_heads;
            let attended = merge_parts(&model.device, vec![attended], q.shape(), heads);
            let o = pass.weight(&format!("{name}.o.weight"));
            x = linear_add(&mut graph, &x, &attended, &o, None);

            let name = format!("{layer}.1.EncDecAttention");
            let norm = pass.weight(&format!("{layer}.1.layer_norm.weight"));
            let q = pass.weight(&format!("{name}.q.weight"));
            let q = norm_linears(&mut graph, &x, &norm, &[q], eps).remove(0);
            let layout = pass.layout(&cross_offsets, &self.source_offsets, false, None);
            let cross = &self.layers[block].cross;
            let attended = cross.attention_part(&model.device, &q, &layout);
            let attended = merge_parts(&model.device, vec![attended], q.shape(), heads);
            let o = pass.weight(&format!("{name}.o.weight"));
            x = linear_add(&mut graph, &x, &attended, &o, None);

            let layer = format!("{layer}.2");
            x = pass.feed_forward(&mut graph, &layer, &x, [None; 2]);
        }
        let x = pass.norm(&mut graph, "decoder.final_layer_norm.weight", &x);
        self.continued = (0..tokens.len()).collect();
        let scale = model.config().logit_scale(model.is_tied());
        NextTokens::of_states(&model.device, x, pass.head(), scale)
    }

    /// # Panics
    /// If rows of one source would no longer stand in the order of sources.
    fn select(&mut self, rows: &[usize]) {
        let pick = |values: &[usize]| rows.iter().map(|&row| values[row]).collect::<Vec<_>>();
        self.source_of = pick(&self.source_of);
        self.continued = pick(&self.continued);
        assert!(self.source_of.is_sorted(), "rows in the order of sources");
    }
}
