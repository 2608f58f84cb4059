//! Decoding a Llama with cached keys and values: one token a row and step.

use std::sync::Arc;

use promot_core::Ragged;

use super::llama::{EMBEDDING, Llama, Pass, positions};
use crate::backend::Backend;
use crate::generate::Decoder;
use crate::graph::{Graph, Var};
use crate::ops::attention::{attention, attention_part, merge_parts};
use crate::ops::embedding::embedding;
use crate::ops::kv_cache;

impl<B: Backend> Llama<B> {
    /// A decoder with one row for each input, which has read all of it but its last token: that is
    /// what the first step is fed.
    ///
    /// # Panics
    /// If an input has no token.
    pub fn decoder_for(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> LlamaDecoder<'_, B> {
        let read = inputs.rows().map(|row| {
            let (_, read) = row.split_last().expect("at least one token");
            read
        });
        let read = Ragged::from_rows(read);
        let (layers, context_offsets) = self.read(&read, prompts, prompt_of);
        LlamaDecoder {
            model: self,
            context_offsets,
            source_of: (0..inputs.len()).collect(),
            continued: (0..inputs.len()).collect(),
            layers,
            steps: 0,
        }
    }

    /// Keys and values of all layers for `inputs` after their soft prompts, and where each sequence
    /// starts.
    fn read(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
    ) -> (Vec<LayerCache<B>>, Arc<[usize]>) {
        let mut graph = Graph::inference(&self.device);
        let pass = self.inference();
        let table = pass.weight(EMBEDDING);
        let (mut x, offsets) = embedding(&mut graph, &table, prompts, inputs, prompt_of);
        let angles = pass.angles(&self.device, positions(&offsets));
        let layout = pass.layout(&offsets, &offsets, true, None);
        let last = self.config().num_hidden_layers - 1;
        let layers = (0..=last).map(|layer| {
            let [q, k, v] = pass.queries_keys_values(&mut graph, layer, &x, &angles);
            // What the last layer says of tokens that are followed by others is of no use.
            if layer < last {
                let attended = attention(&mut graph, &q, &k, &v, None, &layout);
                x = pass.rest_of_block(&mut graph, layer, &x, &attended, [None; 2]);
            }
            LayerCache {
                context: [k, v],
                own: None,
            }
        });
        (layers.collect(), offsets.clone())
    }
}

/// One layer's keys and values.
struct LayerCache<B: Backend> {
    /// Of what was read, `(T', G * d_head)`: computed once, shared by all beams of a source.
    context: [Var<B>; 2],
    /// Of the rows' own tokens, `(rows * steps, G * d_head)`; none before the first.
    own: Option<[Var<B>; 2]>,
}

/// Decodes one token a row and step.
pub struct LlamaDecoder<'m, B: Backend> {
    model: &'m Llama<B>,
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
            .map(|source| read(source) + self.steps)
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
        let new = [k, v];
        let own = [0, 1].map(|part| {
            let before = cache.own.as_ref().map(|own| &own[part]);
            kv_cache::extend(device, before, &new[part], &self.continued, self.steps)
        });
        let [k, v] = &cache.context;
        let layout = pass.layout(&step.source_offsets, &self.context_offsets, false, None);
        let context = attention_part(device, &q, k, v, &layout);
        let [k, v] = cache.own.insert(own);
        let layout = pass.layout(&step.row_offsets, &step.own_offsets, true, None);
        let own = attention_part(device, &q, k, v, &layout);
        let heads = self.model.config().num_attention_heads;
        let attended = merge_parts(device, vec![context, own], q.shape(), heads);
        pass.rest_of_block(graph, layer, x, &attended, [None; 2])
    }
}

/// What all layers of a step have in common.
struct Step<B: Backend> {
    angles: crate::ops::rope::Angles<B>,
    /// Rows by source.
    source_offsets: Arc<[usize]>,
    /// One row after another.
    row_offsets: Arc<[usize]>,
    /// Each row's own tokens, the new one among them.
    own_offsets: Arc<[usize]>,
}

impl<B: Backend> Decoder for LlamaDecoder<'_, B> {
    fn vocab_size(&self) -> usize {
        self.model.config().vocab_size
    }

    fn step(&mut self, tokens: &[u32]) -> Vec<f32> {
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
        let logits = pass.logits(&mut graph, &x);
        model.device.download(logits.slice())
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
