//! Attention of one sequence at a time, for ops that compute on the same thread what goes into it and what
//! becomes of it.

use super::distances::{Along, Distances};
use super::head::Sequence;
use super::scratch::Scratch;
use super::{Gradients, Saved, backward, forward, heads_of, short};
use crate::gemm::{Precision, Source};
use crate::ops::attention::Problem;

/// The sequences of a problem, each by its index. Tensors are a sequence's own rows, all heads side by side.
pub(in crate::ops) struct Sequences<'p> {
    problem: &'p Problem,
    precision: Precision,
    distances: Distances,
    all: Vec<Sequence>,
}

impl<'p> Sequences<'p> {
    /// Whether a sequence of so many queries is for [`Self::forward`] and [`Self::backward`]: fewer are a
    /// matter of plain loops over what lies in memory.
    pub(in crate::ops) fn are_for(queries: usize) -> bool {
        queries >= short::FEW
    }

    /// For [`Self::forward`]; `bias` as in [`Inputs`](crate::ops::attention::Inputs).
    pub(in crate::ops) fn forth(
        problem: &'p Problem,
        bias: Option<&[f32]>,
        precision: Precision,
    ) -> Self {
        Self::new(problem, bias, precision, Along::Keys)
    }

    /// For [`Self::backward`].
    pub(in crate::ops) fn back(
        problem: &'p Problem,
        bias: Option<&[f32]>,
        precision: Precision,
    ) -> Self {
        Self::new(problem, bias, precision, Along::Queries)
    }

    fn new(problem: &'p Problem, bias: Option<&[f32]>, precision: Precision, along: Along) -> Self {
        Self {
            problem,
            precision,
            distances: Distances::new(bias, problem, along),
            all: Sequence::all(problem).map(Sequence::by_itself).collect(),
        }
    }

    /// Writes the output and the log-sum-exp of a sequence that is not empty.
    pub(in crate::ops) fn forward<E: Source>(
        &self,
        index: usize,
        tensors: [&[E]; 3],
        y: &mut [f32],
        log_sum_exp: &mut [f32],
    ) {
        Scratch::with(|scratch| {
            for head in heads_of(self.all[index], self.problem, self.precision) {
                forward::forward(head, tensors, &self.distances, scratch, y, log_sum_exp);
            }
        });
    }

    /// Writes the gradients of queries, keys and values of a sequence that is not empty; adds to that of the
    /// bias table, `(num_buckets, H)`, unless that is empty.
    pub(in crate::ops) fn backward<E: Source>(
        &self,
        index: usize,
        [q, k, v]: [&[E]; 3],
        [dy, y, log_sum_exp]: [&[f32]; 3],
        [dq, dk, dv, table]: [&mut [f32]; 4],
    ) {
        let saved = Saved {
            q,
            k,
            v,
            dy,
            y,
            log_sum_exp,
        };
        let mut out = Gradients { dq, dk, dv, table };
        Scratch::with(|scratch| {
            for head in heads_of(self.all[index], self.problem, self.precision) {
                backward::backward(head, &saved, &self.distances, scratch, &mut out);
            }
        });
    }
}
