//! The forward pass of one head by strips of queries, with packed products.

use super::distances::Distances;
use super::head::{Ahead, Head, Sequence, ahead};
use super::scratch::{Scratch, grown, strip_rows};
use super::softmax::{normalize_rows, softmax_row};
use super::wide::padded;
use crate::gemm::{Matrix, Source, matmul_packed, vectorized};

/// Writes the head's columns of the sequence's rows of the output and of the log-sum-exp.
pub(super) fn forward<E: Source>(
    head: Head<'_>,
    [q, k, v]: [&[E]; 3],
    distances: &Distances,
    scratch: &mut Scratch,
    y: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let Sequence { q_len, k_len, .. } = head.sequence;
    let [left, keys, values, ..] = &mut scratch.packed;
    let keys = keys.pack_b(head.keys(k).t(), head.precision);
    let values = values.pack_b(head.keys(v), head.precision);

    let stride = padded(k_len);
    let rows = strip_rows(q_len, stride);
    let ahead = Ahead {
        queries: [ahead(q), &[], &[]],
        keys: [ahead(k), ahead(v)],
    };
    for first in (0..q_len).step_by(rows) {
        let count = rows.min(q_len - first);
        let strip = grown(&mut scratch.scores, count * stride);
        let [tops, sums, ..] = &mut scratch.of_query;
        let (tops, sums) = (grown(tops, count), grown(sums, count));
        let queries = head.queries(q).row_range(first, count);
        let queries = left.pack_a(queries, head.precision);
        matmul_packed(strip, stride, queries, keys, false);
        exponentials(strip, tops, sums, head, first, distances, ahead);

        let strip = Matrix::strided(strip, count, k_len, stride);
        let strip = left.pack_a(strip, head.precision);
        let part = &mut y[first * head.width() + head.column()..];
        matmul_packed(part, head.width(), strip, values, false);
        let log_sum_exp = &mut log_sum_exp[first * head.heads() + head.head..];
        normalize(part, log_sum_exp, tops, sums, head);
    }
}

vectorized! {
    /// Scores of the queries from `first` on to exponentials, by [`softmax_row`].
    fn exponentials(
        strip: &mut [f32],
        tops: &mut [f32],
        sums: &mut [f32],
        head: Head<'_>,
        first: usize,
        distances: &Distances,
        ahead: Ahead<'_>,
    ) {
        let sequence = head.sequence;
        let stride = padded(sequence.k_len);
        let biases = distances.of_head(head.head);
        let scale = head.problem.layout.scale;
        let rows = strip.chunks_exact_mut(stride).zip(tops).zip(sums);
        for (i, ((row, top), sum)) in (first..).zip(rows) {
            let at = distances.index(sequence.position(i), 0);
            let visible = sequence.visible(i);
            (*top, *sum) = softmax_row(row, &biases[at..][..stride], scale, visible);
            head.drop_query(row, i);
            head.prefetch_next(&ahead.queries, sequence.q_first + i);
            head.prefetch_next_keys(&ahead.keys, sequence.k_first + i);
        }
    }

    /// As [`normalize_rows`].
    fn normalize(
        y: &mut [f32],
        log_sum_exp: &mut [f32],
        tops: &[f32],
        sums: &[f32],
        head: Head<'_>,
    ) {
        normalize_rows(y, log_sum_exp, tops, sums, head);
    }
}
