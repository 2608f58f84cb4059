//! Decoding a Llama with cached keys and values: one token a row and step.

use std::sync::Arc;

use promot_core::Ragged;

use super::llama::{EMBEDDING, Llama};
use super::llama_pass::{Pass, positions};
use crate::backend::Backend;
use crate::generate::{Decoder, NextTokens};
use crate::graph::{Graph, Var};
use crate::ops::attention::{FixedKeys, Layout, Part, attention_part, merge_parts};
use crate::ops::embedding::embedding;
use crate::ops::kv_cache::KvCache;
use crate::ops::rope::Angles;

/// Tokens, soft prompt rows counted, from which on it pays to read a common beginning once.
const WORTH_SHARING: usize = 32;
/// Queries that look at shared keys together: enough for packed products, few enough for threads.
const SHARED_QUERIES: usize = 32;

impl<B: Backend> Llama<B> {
    /// A decoder with one row for each input, which has read all of it but its last token: that is
    /// what the first step is fed.
    ///
    /// A soft prompt and worked examples that all inputs begin with are read once. That sums in another
    /// order, so logits differ from those of a row alone in their last bits.
    ///
    /// # Panics
    /// If an input has no token.
    pub fn decoder_for(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> LlamaDecoder<'_, B> {
        let read: Vec<&[u32]> = inputs
            .rows()
            .map(|row| row.split_last().expect("at least one token").1)
            .collect();
        let (shared, shared_len, rest, prompt_of) =
            match common_beginning(&read, prompts, prompt_of) {
                Some(common) => {
                    let beginning = Ragged::from_rows([&read[0][..common]]);
                    let (layers, offsets) = self.read(&beginning, prompts, &prompt_of[..1], None);
                    let rest = Ragged::from_rows(read.iter().map(|row| &row[common..]));
                    (Some(layers), offsets[1], rest, vec![None; read.len()])
                }
                None => (None, 0, Ragged::from_rows(read), prompt_of.to_vec()),
            };
        let before = shared.as_deref().map(|layers| (layers, shared_len));
        let (context, context_offsets) = self.read(&rest, prompts, &prompt_of, before);
        let mut shared = shared.into_iter().flatten();
        LlamaDecoder {
            model: self,
            shared_len,
            context_offsets,
            source_of: (0..inputs.len()).collect(),
            continued: (0..inputs.len()).collect(),
            layers: context
                .into_iter()
                .map(|context| LayerCache {
                    shared: shared.next(),
                    context,
                    own: KvCache::default(),
                })
                .collect(),
            steps: 0,
        }
    }

    /// Keys and values of all layers for `inputs` after their soft prompts, and where each sequence
    /// starts. `before` are those of what all sequences begin with, and how many tokens that is.
    fn read(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
        before: Option<(&[FixedKeys<B>], usize)>,
    ) -> (Vec<FixedKeys<B>>, Arc<[usize]>) {
        let mut graph = Graph::inference(&self.device);
        let pass = self.inference();
        let table = pass.weight(EMBEDDING);
        let (mut x, offsets) = embedding(&mut graph, &table, prompts, inputs, prompt_of);
        let first = before.map_or(0, |(_, len)| len);
        let positions: Vec<usize> = positions(&offsets).map(|p| first + p).collect();
        let angles = pass.angles(&self.device, positions.into_iter());
        let layout = pass.layout(&offsets, &offsets, true, None);
        let last = self.config().num_hidden_layers - 1;
        let layers = (0..=last).map(|layer| {
            let [q, k, v] = pass.queries_keys_values(&mut graph, layer, &x, &angles);
            // What the last layer says of tokens that are followed by others is of no use.
            if layer < last {
                let own = attention_part(&self.device, &q, &k, &v, &layout);
                let shared = before.map(|(layers, _)| self.shared_part(&pass, &q, &layers[layer]));
                let parts = shared.into_iter().chain([own]).collect();
                let heads = self.config().num_attention_heads;
                let attended = merge_parts(&self.device, parts, q.shape(), heads);
                x = pass.rest_of_block(&mut graph, layer, &x, &attended, [None; 2]);
            }
            FixedKeys::new(&self.device, &k, &v, &offsets, self.config().num_kv_heads())
        });
        (layers.collect(), offsets.clone())
    }

    /// What queries find at keys that all of them see.
    fn shared_part(&self, pass: &Pass<B>, q: &Var<B>, shared: &FixedKeys<B>) -> Part<B> {
        let (queries, keys) = (q.shape().0, shared.tokens());
        let firsts = (0..queries).step_by(SHARED_QUERIES);
        let q_offsets = firsts.chain([queries]).collect();
        let kv_offsets = [0, keys].into();
        let layout = Layout {
            shared_keys: true,
            ..pass.layout(&q_offsets, &kv_offsets, false, None)
        };
        shared.attention_part(&self.device, q, &layout)
    }
}

/// How many tokens all rows begin with behind the same soft prompt, if it pays to read both once.
fn common_beginning<B: Backend>(
    rows: &[&[u32]],
    prompts: &[Var<B>],
    prompt_of: &[Option<usize>],
) -> Option<usize> {
    let (first, others) = rows.split_first()?;
    if prompt_of.iter().any(|prompt| *prompt != prompt_of[0]) {
        return None;
    }
    let common = |a: &[u32], b: &[u32]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let common = others.iter().map(|row| common(first, row)).min()?;
    let prompt_rows = prompt_of[0].map_or(0, |prompt| prompts[prompt].shape().0);
    (prompt_rows + common >= WORTH_SHARING).then_some(common)
}

/// What one layer remembers.
struct LayerCache<B: Backend> {
    /// Of what all sources begin with.
    shared: Option<FixedKeys<B>>,
    /// Of what each source goes on with: computed once, shared by all its beams.
    context: FixedKeys<B>,
    /// Of the rows' own tokens.
    own: KvCache<B>,
}

/// Decodes one token a row and step.
pub struct LlamaDecoder<'m, B: Backend> {
    model: &'m Llama<B>,
    /// Tokens that all sources begin with, soft prompt rows counted.
    shared_len: usize,
    /// Where each source's tokens start in the context.
    context_offsets: Arc<[usize]>,
    /// Which source each row answers; rows of one source stand next to each other.
    source_of: Vec<usize>,
    /// Which row of the last step each row continues.
    continued: Vec<usize>,
    layers: Vec<LayerCache<B>>,
    steps: usize,
}

impl<B: Backend> LlamaDecoder<'_, B> {
    /// Where each source's rows start: as many queries of its keys and values as it has beams, none
    /// once it is finished. So nothing is copied, neither for beams nor when rows leave.
    fn source_offsets(&self) -> Arc<[usize]> {
        let mut ends = vec![0; self.context_offsets.len()];
        self.source_of
            .iter()
            .for_each(|&source| ends[source + 1] += 1);
        for source in 1..ends.len() {
            ends[source] += ends[source - 1];
        }
        ends.into()
    }

    /// The position of each row's next token.
    fn next_positions(&self) -> Vec<usize> {
        let read =
            |&source: &usize| self.context_offsets[source + 1] - self.context_offsets[source];
        self.source_of
            .iter()
            .map(|source| self.shared_len + read(source) + self.steps)
            .collect()
    }

    /// What one layer makes of the rows' new tokens, `(rows, D)`; their keys and values are kept.
    fn layer(
        &mut self,
        graph: &mut Graph<B>,
        pass: &Pass<B>,
        layer: usize,
        x: &Var<B>,
        step: &Step<B>,
    ) -> Var<B> {
        let device = &self.model.device;
        let [q, k, v] = pass.queries_keys_values(graph, layer, x, &step.angles);
        let cache = &mut self.layers[layer];
        cache.own.extend(device, &k, &v, &self.continued);
        let layout = pass.layout(&step.source_offsets, &self.context_offsets, false, None);
        let context = cache.context.attention_part(device, &q, &layout);
        let layout = pass.layout(&step.row_offsets, &step.own_offsets, true, None);
        let own = cache.own.attention_part(device, &q, None, &layout);
        let shared = cache.shared.as_ref();
        let shared = shared.map(|shared| self.model.shared_part(pass, &q, shared));
        let heads = self.model.config().num_attention_heads;
        let parts = shared.into_iter().chain([context, own]).collect();
        let attended = merge_parts(device, parts, q.shape(), heads);
        pass.rest_of_block(graph, layer, x, &attended, [None; 2])
    }
}

/// What all layers of a step have in common.
struct Step<B: Backend> {
    angles: Angles<B>,
    /// Rows by source.
    source_offsets: Arc<[usize]>,
    /// One row after another.
    row_offsets: Arc<[usize]>,
    /// Each row's own tokens, the new one among them.
    own_offsets: Arc<[usize]>,
}

impl<B: Backend> Decoder for LlamaDecoder<'_, B> {
    type Device = B;

    fn step(&mut self, tokens: &[u32]) -> NextTokens<B> {
        let count = tokens.len();
        assert_eq!(count, self.source_of.len(), "one token a row");
        let model = self.model;
        let pass = model.inference();
        let mut graph = Graph::inference(&model.device);
        let rows = Ragged::from_rows(tokens.chunks(1));
        let table = pass.weight(EMBEDDING);
        let (mut x, row_offsets) = embedding(&mut graph, &table, &[], &rows, &vec![None; count]);
        let step = Step {
            angles: pass.angles(&model.device, self.next_positions().into_iter()),
            source_offsets: self.source_offsets(),
            row_offsets,
            own_offsets: (0..=count).map(|row| row * (self.steps + 1)).collect(),
        };
        for layer in 0..model.config().num_hidden_layers {
            x = self.layer(&mut graph, &pass, layer, &x, &step);
        }
        self.steps += 1;
        self.continued = (0..count).collect();
        let x = pass.final_norm(&mut graph, &x);
        NextTokens::of_states(&model.device, x, pass.head(), 1.0)
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
