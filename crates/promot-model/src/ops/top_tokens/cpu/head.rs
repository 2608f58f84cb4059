//! The choice from logits that are never written down: a block of the vocabulary after another, while it is in
//! the cache.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::OfRow;
use crate::backend::Host;
use crate::gemm::{Matrix, Packed, Part, Precision, matmul_part};
use crate::ops::parallel::sized;
use crate::ops::scale::scale_values;
use crate::ops::top_tokens::Head;

/// Rows of the input that meet a block of the vocabulary at a time.
const ROWS: usize = 256;
/// Tokens of the vocabulary in one block.
const TOKENS: usize = 512;
/// Neighbouring blocks are one task, and there are at most so many of them. Neither depends on the rows or on the
/// number of threads, so that sums do not.
const TASKS: usize = 8;

thread_local! {
    static LOGITS: RefCell<Vec<f32>> = RefCell::default();
}

/// What is remembered of every row after it saw all of its logits; `none` is what it is before.
pub(super) fn see<R: OfRow>(
    head: &Head<'_, Host>,
    precision: Precision,
    none: impl Fn() -> R + Sync,
) -> Vec<R> {
    let (width, vocab_size) = (head.sizes.in_features, head.sizes.out_features);
    let (weight, scale) = (head.w.factor_t(), head.scale);
    let mut packed: Vec<Packed> = Vec::new();
    (head.x.par_chunks(ROWS * width))
        .map(|x| {
            let mut packed = Packed::default();
            packed.pack_a(Matrix::new(x, x.len() / width, width), precision);
            packed
        })
        .collect_into_vec(&mut packed);
    let floors = Floors::new(head.sizes.tokens);
    let tokens = vocab_size.div_ceil(TOKENS).div_ceil(TASKS).max(1) * TOKENS;
    let tasks: Vec<(usize, Range<usize>)> = (0..packed.len())
        .flat_map(|block| {
            let firsts = (0..vocab_size).step_by(tokens);
            firsts.map(move |first| (block, first..vocab_size.min(first + tokens)))
        })
        .collect();
    let mut shares: Vec<Vec<R>> = Vec::new();
    tasks
        .par_iter()
        .map(|(block, tokens)| {
            let x = packed[*block].factor();
            let mut rows: Vec<R> = (0..x.width()).map(|_| none()).collect();
            LOGITS.with_borrow_mut(|logits| {
                for first in tokens.clone().step_by(TOKENS) {
                    let part = Part {
                        first_column: first,
                        columns: TOKENS.min(tokens.end - first),
                        first_term: 0,
                    };
                    let logits = sized(logits, rows.len() * part.columns);
                    matmul_part(logits, part.columns, x, weight, part, false);
                    if scale != 1.0 {
                        scale_values(logits, scale);
                    }
                    let of_rows = rows.iter_mut().zip(logits.chunks(part.columns));
                    for ((row, logits), floor) in of_rows.zip(&floors.0[block * ROWS..]) {
                        row.see(first, logits, floor.get());
                        floor.raise(row.floor());
                    }
                }
            });
            rows
        })
        .collect_into_vec(&mut shares);
    let mut all: Vec<R> = (0..head.sizes.tokens).map(|_| none()).collect();
    for ((block, _), share) in tasks.into_iter().zip(shares) {
        for (row, share) in all[block * ROWS..].iter_mut().zip(share) {
            row.merge(share);
        }
    }
    all
}

/// A logit of each row that as many logits reach as are wanted: what is below cannot be among the best, whichever
/// task found out. So results do not depend on which one it was.
struct Floors(Vec<Floor>);

/// A logit as a number that is larger for larger logits.
struct Floor(AtomicU32);

impl Floors {
    fn new(rows: usize) -> Self {
        let lowest = Floor::ordered(f32::NEG_INFINITY);
        Self((0..rows).map(|_| Floor(AtomicU32::new(lowest))).collect())
    }
}

impl Floor {
    const SIGN: u32 = 1 << 31;

    fn ordered(logit: f32) -> u32 {
        let bits = logit.to_bits();
        if bits & Self::SIGN == 0 {
            bits | Self::SIGN
        } else {
            !bits
        }
    }

    fn get(&self) -> f32 {
        let ordered = self.0.load(Ordering::Relaxed);
        f32::from_bits(if ordered & Self::SIGN == 0 {
            !ordered
        } else {
            ordered & !Self::SIGN
        })
    }

    fn raise(&self, logit: f32) {
        if logit > self.get() {
            self.0.fetch_max(Self::ordered(logit), Ordering::Relaxed);
        }
    }
}
