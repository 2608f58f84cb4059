//! The choice on the CPU: from logits, or block by block as they are computed.

mod best;
mod head;
mod top;

use rayon::prelude::*;

use self::best::BestOfRow;
use self::top::TopOfRow;
use super::{Head, Kernels, NextToken};
use crate::backend::Host;
use crate::gemm::packs_bf16;

/// What is remembered of a row while its logits come by.
trait OfRow: Send {
    /// Looks at the logits of neighbouring tokens, the first of which is `first`. Tokens come in their order. Those
    /// with logits below `floor` are not among the best.
    fn see(&mut self, first: usize, logits: &[f32], floor: f32);
    /// What no logit that is among the best is below.
    fn floor(&self) -> f32;
    /// Adds what was remembered of the tokens after these.
    fn merge(&mut self, later: Self);
}

impl Kernels for Host {
    fn best_tokens(&self, logits: &[f32], vocab_size: usize) -> Vec<u32> {
        let rows = logits.par_chunks_exact(vocab_size);
        rows.map(|logits| {
            let mut best = BestOfRow::default();
            best.see(0, logits, f32::NEG_INFINITY);
            best.token()
        })
        .collect()
    }

    fn top_tokens(&self, logits: &[f32], vocab_size: usize, count: usize) -> Vec<NextToken> {
        let rows = logits.par_chunks_exact(vocab_size);
        rows.flat_map_iter(|logits| {
            let mut top = TopOfRow::new(count);
            top.see(0, logits, f32::NEG_INFINITY);
            top.finish()
        })
        .collect()
    }

    fn best_tokens_of(&self, head: &Head<'_, Self>) -> Vec<u32> {
        if !packs_bf16(self.precision()) {
            return self.best_tokens(&head.logits(self), head.sizes.out_features);
        }
        let rows = head::see(head, self.precision(), BestOfRow::default);
        rows.iter().map(BestOfRow::token).collect()
    }

    fn top_tokens_of(&self, head: &Head<'_, Self>, count: usize) -> Vec<NextToken> {
        if !packs_bf16(self.precision()) {
            return self.top_tokens(&head.logits(self), head.sizes.out_features, count);
        }
        let rows = head::see(head, self.precision(), || TopOfRow::new(count));
        rows.into_iter().flat_map(TopOfRow::finish).collect()
    }
}
