//! Decoding with cached keys and values: one token a row and step.

use std::sync::Arc;

use promot_core::Ragged;

use super::t5::{Dropouts, Stack, T5};
use crate::backend::Backend;
use crate::generate::Decoder;
use crate::graph::{Graph, Var};
use crate::ops::attention::attention;
use crate::ops::embedding::embedding;
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
        let weights = self.weights(false);
        let mut dropouts = Dropouts::new(None);
        let (states, offsets) = self.encoder(
            &mut graph,
            &weights,
            inputs,
            prompts,
            prompt_of,
            &mut dropouts,
        );
        Encoded { states, offsets }
    }

    /// A decoder with one row for each encoded sequence.
    pub fn decoder_for(&self, encoded: &Encoded<B>) -> T5Decoder<'_, B> {
        let mut graph = Graph::inference(&self.device);
        let weights = self.weights(false);
        let width = self.config().inner_dim();
        let sources = encoded.offsets.len() - 1;
        let layers = (0..self.config().decoder_layers())
            .map(|block| {
                let name = format!("decoder.block.{block}.layer.1.EncDecAttention");
                let mut project = |part: &str| {
                    let weight = weights.get(&format!("{name}.{part}.weight"));
                    let all = linear(&mut graph, &encoded.states, &weight);
                    self.device.download(all.slice())
                };
                LayerCache {
                    cross_k: project("k"),
                    cross_v: project("v"),
                    rows: vec![SelfCache::default(); sources],
                }
            })
            .collect();
        T5Decoder {
            model: self,
            width,
            source_offsets: encoded.offsets.clone(),
            source_of: (0..sources).collect(),
            layers,
            steps: 0,
        }
    }
}

/// One layer's keys and values.
struct LayerCache {
    /// Of all encoded sequences, `(T', H * d_kv)`: computed once, shared by all beams of a source.
    cross_k: Vec<f32>,
    cross_v: Vec<f32>,
    /// Of each row's own tokens.
    rows: Vec<SelfCache>,
}

/// Keys and values of one row's tokens, `(steps, H * d_kv)` each.
#[derive(Clone, Default)]
struct SelfCache {
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Decodes one token a row and step.
pub struct T5Decoder<'m, B: Backend> {
    model: &'m T5<B>,
    /// `H * d_kv`
    width: usize,
    source_offsets: Arc<[usize]>,
    /// Which encoded sequence each row answers.
    source_of: Vec<usize>,
    layers: Vec<LayerCache>,
    steps: usize,
}

impl<B: Backend> T5Decoder<'_, B> {
    /// Cross keys and values of the rows' sources, and the rows' offsets in them.
    ///
    /// Rows of one source stand next to each other and become one ragged sequence of queries, so
    /// that its keys and values are read in place of being copied for each of its beams.
    fn cross_sequences(&self) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut q_offsets = vec![0];
        let mut sources: Vec<(usize, usize)> = Vec::new();
        for (row, &source) in self.source_of.iter().enumerate() {
            let range = (self.source_offsets[source], self.source_offsets[source + 1]);
            if sources.last() == Some(&range) && row > 0 && self.source_of[row - 1] == source {
                *q_offsets.last_mut().expect("an offset") = row + 1;
            } else {
                sources.push(range);
                q_offsets.push(row + 1);
            }
        }
        (q_offsets, sources)
    }

    fn upload(&self, values: Vec<f32>) -> Var<B> {
        let shape = (values.len() / self.width, self.width);
        let device = &self.model.device;
        Var::constant(device.tensor(device.upload(values), shape))
    }
}

fn gather(values: &[f32], ranges: &[(usize, usize)], width: usize) -> Vec<f32> {
    let total: usize = ranges.iter().map(|(first, end)| end - first).sum();
    let mut out = Vec::with_capacity(total * width);
    for &(first, end) in ranges {
        out.extend_from_slice(&values[first * width..end * width]);
    }
    out
}

fn offsets_of(lengths: impl Iterator<Item = usize>) -> Arc<[usize]> {
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl<B: Backend> Decoder for T5Decoder<'_, B> {
    fn vocab_size(&self) -> usize {
        self.model.config().vocab_size
    }

    fn step(&mut self, tokens: &[u32]) -> Vec<f32> {
        assert_eq!(tokens.len(), self.source_of.len(), "one token a row");
        self.steps += 1;
        let model = self.model;
        let weights = model.weights(false);
        let mut graph = Graph::inference(&model.device);
        let mut dropouts = Dropouts::new(None);
        let eps = model.config().layer_norm_epsilon;
        let rows = Ragged::from_rows(tokens.chunks(1));
        let table = weights.get("shared.weight");
        let (mut x, q_offsets) = embedding(&mut graph, &table, &[], &rows, &vec![None; rows.len()]);
        let kv_offsets = offsets_of(tokens.iter().map(|_| self.steps));
        let bias = model.relative_bias(&weights, Stack::Decoder);
        let (cross_q, cross_sources) = self.cross_sequences();
        let cross_q: Arc<[usize]> = cross_q.into();
        let cross_kv = offsets_of(cross_sources.iter().map(|(first, end)| end - first));
        for block in 0..model.config().decoder_layers() {
            let layer = format!("decoder.block.{block}.layer");

            let name = format!("{layer}.0.SelfAttention");
            let norm = weights.get(&format!("{layer}.0.layer_norm.weight"));
            let projections =
                ["q", "k", "v"].map(|part| weights.get(&format!("{name}.{part}.weight")));
            let qkv = norm_linears(&mut graph, &x, &norm, &projections, eps);
            let q = &qkv[0];
            let (k, v) = (
                model.device.download(qkv[1].slice()),
                model.device.download(qkv[2].slice()),
            );
            let (mut all_k, mut all_v) = (Vec::new(), Vec::new());
            for (row, cache) in self.layers[block].rows.iter_mut().enumerate() {
                cache
                    .k
                    .extend_from_slice(&k[row * self.width..][..self.width]);
                cache
                    .v
                    .extend_from_slice(&v[row * self.width..][..self.width]);
                all_k.extend_from_slice(&cache.k);
                all_v.extend_from_slice(&cache.v);
            }
            let (k, v) = (self.upload(all_k), self.upload(all_v));
            let layout = model.layout(&q_offsets, &kv_offsets, true, None);
            let attended = attention(&mut graph, q, &k, &v, Some(&bias), &layout);
            let o = weights.get(&format!("{name}.o.weight"));
            x = linear_add(&mut graph, &x, &attended, &o, None);

            let name = format!("{layer}.1.EncDecAttention");
            let norm = weights.get(&format!("{layer}.1.layer_norm.weight"));
            let q = weights.get(&format!("{name}.q.weight"));
            let q = norm_linears(&mut graph, &x, &norm, &[q], eps).remove(0);
            let cache = &self.layers[block];
            let k = self.upload(gather(&cache.cross_k, &cross_sources, self.width));
            let v = self.upload(gather(&cache.cross_v, &cross_sources, self.width));
            let layout = model.layout(&cross_q, &cross_kv, false, None);
            let attended = attention(&mut graph, &q, &k, &v, None, &layout);
            let o = weights.get(&format!("{name}.o.weight"));
            x = linear_add(&mut graph, &x, &attended, &o, None);

            let layer = format!("{layer}.2");
            x = model.feed_forward(&mut graph, &weights, &layer, &x, &mut dropouts);
        }
        let x = model.norm(&mut graph, &weights, "decoder.final_layer_norm.weight", &x);
        let logits = linear(&mut graph, &x, &model.head(&weights));
        let mut logits = model.device.download(logits.slice());
        let scale = model.config().logit_scale(model.is_tied());
        if scale != 1.0 {
            logits.iter_mut().for_each(|logit| *logit *= scale);
        }
        logits
    }

    fn select(&mut self, rows: &[usize]) {
        self.source_of = rows.iter().map(|&row| self.source_of[row]).collect();
        for layer in &mut self.layers {
            layer.rows = take_rows(std::mem::take(&mut layer.rows), rows);
        }
    }
}

/// `rows[i]` for every `i` of `indices`, moving what is wanted once and cloning what is wanted
/// again.
fn take_rows<T: Clone>(rows: Vec<T>, indices: &[usize]) -> Vec<T> {
    let mut uses = vec![0usize; rows.len()];
    indices.iter().for_each(|&index| uses[index] += 1);
    let mut rows: Vec<Option<T>> = rows.into_iter().map(Some).collect();
    indices
        .iter()
        .map(|&index| {
            uses[index] -= 1;
            let row = if uses[index] == 0 {
                rows[index].take()
            } else {
                rows[index].clone()
            };
            row.expect("a row is moved out at its last use")
        })
        .collect()
}
