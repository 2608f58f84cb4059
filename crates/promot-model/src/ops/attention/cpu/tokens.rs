//! Attention to keys and values that lie in any places: those of a cache whose rows share tokens.

use half::bf16;

use super::distances::{Along, Distances};
use super::{heads_of, outputs, short};
use crate::backend::Host;
use crate::ops::attention::Problem;

/// The keys and the values of a sequence's tokens, a row of all heads each.
pub(in crate::ops) enum TokenRows<'x> {
    F32(Vec<[&'x [f32]; 2]>),
    Bf16(Vec<[&'x [bf16]; 2]>),
}

impl Host {
    /// As [`attention`](crate::ops::attention::Kernels::attention), of sequences with few queries.
    /// `tokens` are those of a sequence.
    pub(in crate::ops) fn attention_to_tokens<'x>(
        &self,
        q: &[f32],
        bias: Option<&[f32]>,
        problem: &Problem,
        tokens: impl Fn(usize) -> TokenRows<'x> + Sync,
    ) -> (Vec<f32>, Vec<f32>) {
        let distances = Distances::new(bias, problem, Along::Keys);
        outputs(
            q.len(),
            problem,
            |scratch, index, sequence, y, log_sum_exp| {
                let heads = heads_of(sequence, problem, self.precision());
                match tokens(index) {
                    TokenRows::F32(rows) => short::forward_to_rows(
                        &heads,
                        q,
                        &rows,
                        &distances,
                        scratch,
                        y,
                        log_sum_exp,
                    ),
                    TokenRows::Bf16(rows) => short::forward_to_bf16_rows(
                        &heads,
                        q,
                        &rows,
                        &distances,
                        scratch,
                        y,
                        log_sum_exp,
                    ),
                }
            },
        )
    }
}
