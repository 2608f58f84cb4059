//! The backward pass of one head by strips of keys, with packed products.
//!
//! Strips of keys and not of queries: with scores by key, two of the three products that
//! probabilities and score gradients go into read them as they lie, and the gradients of keys and
//! values are whole after one strip. Only the gradient of the queries is a sum over strips.

use std::f32::consts::LOG2_E;

use super::distances::Distances;
use super::head::{Ahead, Head, Sequence, ahead};
use super::scratch::{Scratch, grown, strip_rows};
use super::softmax::{AlongQueries, gradient_row, hide_rest};
use super::wide::{LANES, dots, padded};
use super::{Gradients, Saved};
use crate::gemm::{Factor, Matrix, Packed, Precision, Source, matmul_packed, vectorized};
use crate::ops::dropout::Mask;

/// Writes the head's columns of the sequence's rows of the gradients; adds to that of the table.
pub(super) fn backward<E: Source>(
    head: Head<'_>,
    saved: &Saved<'_, E>,
    distances: &Distances,
    scratch: &mut Scratch,
    out: &mut Gradients<'_>,
) {
    let Sequence { q_len, k_len, .. } = head.sequence;
    let (width, column, precision) = (head.width(), head.column(), head.precision);
    let (key_width, shared) = (head.key_width(), head.shares_keys_of_earlier());
    let scale = head.problem.layout.scale;
    let (q, dy) = (head.queries(saved.q), head.queries(saved.dy));
    let (k, v) = (head.keys(saved.k), head.keys(saved.v));

    let stride = padded(q_len);
    let rows = strip_rows(k_len, stride);
    let [log_sum_exp, along, factors] = scratch.of_query.each_mut();
    let (log_sum_exp, along) = (grown(log_sum_exp, stride), grown(along, stride));
    query_numbers(log_sum_exp, along, head, saved.of_queries());
    head.masks_into(&mut scratch.masks);
    let distances_summed = if out.table.is_empty() {
        0
    } else {
        distances.span()
    };
    let by_distance = grown(&mut scratch.by_distance, distances_summed);
    by_distance.fill(0.0);

    let [left, keys, of_queries @ ..] = &mut scratch.packed;
    let [[q_columns, q_terms], [dy_columns, dy_terms]] =
        as_right_factors(of_queries, q, dy, precision);
    for first in (0..k_len).step_by(rows) {
        let count = rows.min(k_len - first);
        let (k, v) = (k.row_range(first, count), v.row_range(first, count));
        let scores = grown(&mut scratch.scores, count * stride);
        let gradients = grown(&mut scratch.gradients, count * stride);
        matmul_packed(scores, stride, left.pack_a(k, precision), q_columns, false);
        matmul_packed(
            gradients,
            stride,
            left.pack_a(v, precision),
            dy_columns,
            false,
        );

        let strip = Strip {
            head,
            ahead: saved.ahead(),
            distances,
            first,
            log_sum_exp,
            along,
            masks: &scratch.masks,
        };
        score_gradients(
            scores,
            gradients,
            by_distance,
            grown(factors, stride),
            strip,
        );

        let at = first * key_width + head.key_column();
        let probabilities = Matrix::strided(scores, count, q_len, stride);
        let probabilities = left.pack_a(probabilities, precision);
        matmul_packed(
            &mut out.dv[at..],
            key_width,
            probabilities,
            dy_terms,
            shared,
        );
        let gradients = Matrix::strided(gradients, count, q_len, stride);
        let by_key = left.pack_a(gradients, precision);
        matmul_packed(&mut out.dk[at..], key_width, by_key, q_terms, shared);
        let (by_query, k) = (
            left.pack_a(gradients.t(), precision),
            keys.pack_b(k, precision),
        );
        matmul_packed(&mut out.dq[column..], width, by_query, k, first > 0);
    }
    if scale != 1.0 {
        multiply(out.dq, head.width(), column, head.d(), scale);
        if head.is_last_of_group() {
            multiply(out.dk, key_width, head.key_column(), head.d(), scale);
        }
    }
    if !out.table.is_empty() {
        distances.add_to_table(by_distance, head, out.table);
    }
}

impl<'a, E: Source> Saved<'a, E> {
    /// What [`query_numbers`] reads.
    pub(super) fn of_queries(&self) -> [&'a [f32]; 3] {
        [self.dy, self.y, self.log_sum_exp]
    }

    pub(super) fn ahead(&self) -> Ahead<'a> {
        Ahead {
            queries: [ahead(self.q), self.dy, self.y],
            keys: [ahead(self.k), ahead(self.v)],
        }
    }
}

/// The queries and the gradients of their outputs as right factors, transposed and as they are, which serve
/// all strips.
pub(super) fn as_right_factors<'a, E: Source>(
    packed: &'a mut [Packed; 4],
    q: Matrix<'a, E>,
    dy: Matrix<'a>,
    precision: Precision,
) -> [[Factor<'a>; 2]; 2] {
    let [q_columns, q_terms, dy_columns, dy_terms] = packed;
    [
        [
            q_columns.pack_b(q.t(), precision),
            q_terms.pack_b(q, precision),
        ],
        [
            dy_columns.pack_b(dy.t(), precision),
            dy_terms.pack_b(dy, precision),
        ],
    ]
}

/// Some rows of scores, a key each.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a> {
    pub(super) head: Head<'a>,
    pub(super) ahead: Ahead<'a>,
    pub(super) distances: &'a Distances,
    /// The first key.
    pub(super) first: usize,
    /// As in [`AlongQueries`].
    pub(super) log_sum_exp: &'a [f32],
    /// As in [`AlongQueries`].
    pub(super) along: &'a [f32],
    /// Of each query, if there is dropout.
    pub(super) masks: &'a [Mask],
}

vectorized! {
    /// The log-sum-exp of each query, in base 2, and the sum of its probabilities times their
    /// gradients; from the output's gradient, the output and the log-sum-exp in base e.
    pub(super) fn query_numbers(
        log_sum_exp: &mut [f32],
        along: &mut [f32],
        head: Head<'_>,
        saved: [&[f32]; 3],
    ) {
        let [dy, y, saved] = saved;
        let Sequence { q_first, q_len, .. } = head.sequence;
        for (i, log_sum_exp) in log_sum_exp[..q_len].iter_mut().enumerate() {
            *log_sum_exp = saved[(q_first + i) * head.heads() + head.head] * LOG2_E;
        }
        for (block, along) in along[..q_len].chunks_mut(LANES).enumerate() {
            let first = q_first + block * LANES;
            dots(along, |i| head.row(dy, first + i), |i| head.row(y, first + i));
        }
    }

    /// Scores to probabilities, and `gradients` of these to those of the scores, which are added to
    /// `by_distance`, too, unless that is empty. `factors` is memory for the dropout of one row.
    pub(super) fn score_gradients(
        scores: &mut [f32],
        gradients: &mut [f32],
        by_distance: &mut [f32],
        factors: &mut [f32],
        strip: Strip<'_>,
    ) {
        let Strip { head, ahead, distances, .. } = strip;
        let sequence = head.sequence;
        let stride = padded(sequence.q_len);
        let biases = distances.of_head(head.head);
        let rows = scores.chunks_exact_mut(stride).zip(gradients.chunks_exact_mut(stride));
        for (j, (scores, gradients)) in (strip.first..).zip(rows) {
            head.prefetch_next(&ahead.queries, sequence.q_first + j);
            head.prefetch_next_keys(&ahead.keys, sequence.k_first + j);
            for (factor, mask) in factors.iter_mut().zip(strip.masks) {
                *factor = mask.factor(j as u32);
            }
            let at = distances.index(sequence.position(0), j);
            let numbers = AlongQueries {
                biases: &biases[at..][..stride],
                log_sum_exp: strip.log_sum_exp,
                along: strip.along,
                factors: head.dropout().is_some().then_some(&*factors),
            };
            gradient_row(scores, gradients, head.problem.layout.scale, numbers);
            for row in [&mut *scores, &mut *gradients] {
                let hidden = sequence.first_query(j);
                if hidden > 0 {
                    row[..hidden].fill(0.0);
                }
                hide_rest(row, sequence.q_len, 0.0);
            }
            if !by_distance.is_empty() {
                let sums = &mut by_distance[at..][..stride];
                sums.iter_mut().zip(&*gradients).for_each(|(sum, ds)| *sum += ds);
            }
        }
    }

    /// `columns` columns of all rows, from `first` on, times `scale`.
    fn multiply(x: &mut [f32], width: usize, first: usize, columns: usize, scale: f32) {
        for row in x.chunks_exact_mut(width) {
            row[first..][..columns].iter_mut().for_each(|x| *x *= scale);
        }
    }
}
