//! The backward pass of attention whose values are its keys, with one head: each strip of them is packed
//! once for both, and their gradient is added to where it is.

use super::backward::{Strip, as_right_factors, query_numbers, score_gradients};
use super::distances::{Along, Distances};
use super::fresh::Fresh;
use super::head::{Head, Sequence};
use super::scratch::{Scratch, grown, strip_rows};
use super::wide::padded;
use super::{Saved, heads_of, run};
use crate::backend::Host;
use crate::gemm::{Matrix, matmul_packed};
use crate::ops::attention::Problem;
use crate::slices::split;

impl Host {
    /// The gradient of the queries, `(Tq, D)`; adds to that of the states, `(Tk, D)`, if it is wanted. As
    /// [`attention_backward`](crate::ops::attention::Kernels::attention_backward), whose keys and values
    /// are both `states`, of one head.
    pub(in crate::ops) fn attention_to_states_backward(
        &self,
        dy: &[f32],
        y: &[f32],
        log_sum_exp: &[f32],
        [q, states]: [&[f32]; 2],
        problem: &Problem,
        dstates: Option<&mut [f32]>,
    ) -> Vec<f32> {
        assert_eq!(problem.layout.num_heads, 1, "attention to states: heads");
        let width = problem.d_kv;
        let distances = Distances::new(None, problem, Along::Queries);
        let saved = Saved {
            q,
            k: states,
            v: states,
            dy,
            y,
            log_sum_exp,
        };
        let wanted = dstates.is_some();
        let mut dq = Fresh::new(q.len());
        let q_lens = Sequence::all(problem).map(|sequence| sequence.q_len * width);
        let k_lens =
            Sequence::all(problem).map(|sequence| if wanted { sequence.k_len * width } else { 0 });
        let outputs = dq
            .parts(q_lens)
            .zip(split(dstates.unwrap_or_default(), k_lens));
        let tasks = Sequence::all(problem).zip(outputs).collect();
        run(tasks, problem, |scratch, sequence, (dq, dstates)| {
            let dq = dq.zeroed();
            if !sequence.is_empty() {
                let head = heads_of(sequence, problem, self.precision())[0];
                backward(head, &saved, &distances, scratch, dq, dstates);
            }
        });
        dq.finish()
    }
}

/// Writes the sequence's rows of the gradient of the queries; adds to those of the states, unless there
/// are none.
fn backward(
    head: Head<'_>,
    saved: &Saved<'_>,
    distances: &Distances,
    scratch: &mut Scratch,
    dq: &mut [f32],
    dstates: &mut [f32],
) {
    let Sequence { q_len, k_len, .. } = head.sequence;
    let (width, precision) = (head.d(), head.precision);
    let (q, dy) = (head.queries(saved.q), head.queries(saved.dy));
    let states = head.keys(saved.k);
    let stride = padded(q_len);
    let rows = strip_rows(k_len, stride);
    let [log_sum_exp, along, factors] = scratch.of_query.each_mut();
    let (log_sum_exp, along) = (grown(log_sum_exp, stride), grown(along, stride));
    query_numbers(log_sum_exp, along, head, saved.of_queries());
    head.masks_into(&mut scratch.masks);

    let [left, terms, of_queries @ ..] = &mut scratch.packed;
    let [[q_columns, q_terms], [dy_columns, dy_terms]] =
        as_right_factors(of_queries, q, dy, precision);
    for first in (0..k_len).step_by(rows) {
        let count = rows.min(k_len - first);
        let states = states.row_range(first, count);
        let scores = grown(&mut scratch.scores, count * stride);
        let gradients = grown(&mut scratch.gradients, count * stride);
        let packed = left.pack_a(states, precision);
        matmul_packed(scores, stride, packed, q_columns, false);
        matmul_packed(gradients, stride, packed, dy_columns, false);
        let strip = Strip {
            head,
            ahead: saved.ahead(),
            distances,
            first,
            log_sum_exp,
            along,
            masks: &scratch.masks,
        };
        score_gradients(scores, gradients, &mut [], grown(factors, stride), strip);
        // What goes on from here is the gradient of `q · s`.
        let scale = head.problem.layout.scale;
        if scale != 1.0 {
            gradients.iter_mut().for_each(|ds| *ds *= scale);
        }

        let gradients = Matrix::strided(gradients, count, q_len, stride);
        if !dstates.is_empty() {
            let dstates = &mut dstates[first * width..];
            let probabilities = Matrix::strided(scores, count, q_len, stride);
            let probabilities = left.pack_a(probabilities, precision);
            matmul_packed(dstates, width, probabilities, dy_terms, true);
            let by_state = left.pack_a(gradients, precision);
            matmul_packed(dstates, width, by_state, q_terms, true);
        }
        let by_query = left.pack_a(gradients.t(), precision);
        let states = terms.pack_b(states, precision);
        matmul_packed(dq, width, by_query, states, first > 0);
    }
}
