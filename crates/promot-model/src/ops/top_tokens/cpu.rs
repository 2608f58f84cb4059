//! The choice on the CPU. Vocabularies are long and few of their tokens matter: a block of tokens is
//! looked at one by one only if the largest of its logits is large enough.

use rayon::prelude::*;

use super::{Kernels, NextToken};
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::math;

/// Tokens in one block.
const BLOCK: usize = 256;

impl Kernels for Host {
    fn best_tokens(&self, logits: &[f32], vocab_size: usize) -> Vec<u32> {
        let rows = logits.par_chunks_exact(vocab_size);
        rows.map(best_of_row).collect()
    }

    fn top_tokens(&self, logits: &[f32], vocab_size: usize, count: usize) -> Vec<NextToken> {
        let rows = logits.par_chunks_exact(vocab_size);
        rows.flat_map_iter(|logits| top_of_row(logits, count))
            .collect()
    }
}

fn top_of_row(logits: &[f32], count: usize) -> Vec<NextToken> {
    let mut top: Vec<NextToken> = Vec::with_capacity(count + 1);
    let mut shift = log_sum_exp(logits);
    if shift.is_nan() {
        // Logits that are no numbers, or no probability at all.
        let numbers: Vec<f32> = logits.iter().copied().map(number).collect();
        shift = log_sum_exp(&numbers);
    }
    let shift = if shift.is_nan() { 0.0 } else { shift };
    let log_probability = |logit: f32| number(logit) - shift;
    let is_worse = |p: f32, top: &[NextToken]| {
        top.len() == count && top.last().is_none_or(|worst| p <= worst.log_probability)
    };
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        if is_worse(log_probability(largest(logits)), &top) {
            continue;
        }
        for (token, &logit) in (block * BLOCK..).zip(logits) {
            let log_probability = log_probability(logit);
            if is_worse(log_probability, &top) {
                continue;
            }
            let place = top.partition_point(|better| better.log_probability >= log_probability);
            let found = NextToken {
                token: token as u32,
                log_probability,
            };
            top.insert(place, found);
            top.truncate(count);
        }
    }
    top
}

/// The logit, or minus infinity if it is no number.
fn number(logit: f32) -> f32 {
    logit.max(f32::NEG_INFINITY)
}

fn best_of_row(logits: &[f32]) -> u32 {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        if largest(logits) > top {
            for (token, &logit) in (block * BLOCK..).zip(logits) {
                if logit > top {
                    (best, top) = (token, logit);
                }
            }
        }
    }
    best as u32
}

vectorized! {
    fn largest(logits: &[f32]) -> f32 {
        math::max(logits)
    }

    fn log_sum_exp(logits: &[f32]) -> f32 {
        let top = math::max(logits);
        top + math::exp_sum(logits, top).ln()
    }
}
