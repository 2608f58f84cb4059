//! Both passes of sequences with few queries: plain loops of inner products, since packing the keys
//! and values would cost more than all products with them.
//!
//! All heads of a sequence go side by side through blocks of keys, so that memory is read and
//! written once and in order.

use std::f32::consts::LOG2_E;

use half::bf16;

use super::super::Inputs;
use super::distances::Distances;
use super::head::{Head, Sequence};
use super::scratch::{Scratch, grown};
use super::softmax::{AlongQueries, gradient_row, normalize_rows, softmax_row};
use super::wide::{LANES, dots, padded};
use super::{Gradients, Saved};
use crate::gemm::{Element, vectorized};

/// Queries from which on a sequence is a matter of packed products.
pub(super) const FEW: usize = 5;

vectorized! {
    /// Writes the sequence's rows of the output and of the log-sum-exp.
    pub(super) fn forward(
        heads: &[Head<'_>],
        inputs: &Inputs<'_, [f32]>,
        distances: &Distances,
        scratch: &mut Scratch,
        y: &mut [f32],
        log_sum_exp: &mut [f32],
    ) {
        let (first, width) = (heads[0].sequence.k_first, heads[0].key_width());
        let key = |j, column| &inputs.k[(first + j) * width + column..];
        let value = |j, column| &inputs.v[(first + j) * width + column..];
        forward_to(heads, inputs.q, key, value, distances, scratch, (y, log_sum_exp));
    }

    /// The same to keys and values that lie in any places: a row of all heads for each token.
    pub(super) fn forward_to_rows(
        heads: &[Head<'_>],
        q: &[f32],
        rows: &[[&[f32]; 2]],
        distances: &Distances,
        scratch: &mut Scratch,
        y: &mut [f32],
        log_sum_exp: &mut [f32],
    ) {
        let key = |j: usize, column: usize| &rows[j][0][column..];
        let value = |j: usize, column: usize| &rows[j][1][column..];
        forward_to(heads, q, key, value, distances, scratch, (y, log_sum_exp));
    }

    /// The same to keys and values in bf16.
    pub(super) fn forward_to_bf16_rows(
        heads: &[Head<'_>],
        q: &[f32],
        rows: &[[&[bf16]; 2]],
        distances: &Distances,
        scratch: &mut Scratch,
        y: &mut [f32],
        log_sum_exp: &mut [f32],
    ) {
        let key = |j: usize, column: usize| &rows[j][0][column..];
        let value = |j: usize, column: usize| &rows[j][1][column..];
        forward_to(heads, q, key, value, distances, scratch, (y, log_sum_exp));
    }

    /// Writes the sequence's rows of the gradients; adds to that of the bias table.
    pub(super) fn backward(
        heads: &[Head<'_>],
        saved: &Saved<'_>,
        distances: &Distances,
        scratch: &mut Scratch,
        out: &mut Gradients<'_>,
    ) {
        let Sequence { q_first, q_len, k_len, .. } = heads[0].sequence;
        let along = grown(&mut scratch.of_query[0], heads.len() * q_len);
        for (head, along) in heads.iter().zip(along.chunks_exact_mut(q_len)) {
            let dy = |i| head.row(saved.dy, q_first + i);
            dots(along, dy, |i| head.row(saved.y, q_first + i));
        }
        for first in (0..k_len).step_by(LANES) {
            for (head, along) in heads.iter().zip(along.chunks_exact(q_len)) {
                backward_block(*head, first, saved, distances, along, out);
            }
        }
    }
}

/// Writes the sequence's rows of the output and of the log-sum-exp. `key` and `value` of a token and a column
/// are what the token's row has from there on.
#[inline(always)]
fn forward_to<'x, E: Element>(
    heads: &[Head<'_>],
    q: &[f32],
    key: impl Fn(usize, usize) -> &'x [E],
    value: impl Fn(usize, usize) -> &'x [E],
    distances: &Distances,
    scratch: &mut Scratch,
    (y, log_sum_exp): (&mut [f32], &mut [f32]),
) {
    let sequence = heads[0].sequence;
    let (q_len, k_len) = (sequence.q_len, sequence.k_len);
    let stride = padded(k_len);
    let scores = grown(&mut scratch.scores, heads.len() * q_len * stride);
    for first in (0..k_len).step_by(LANES) {
        let block = first..(first + LANES).min(k_len);
        for (h, head) in heads.iter().enumerate() {
            let (column, d) = (head.key_column(), head.d());
            for i in 0..q_len {
                let query = head.row(q, sequence.q_first + i);
                let row = |j| &key(first + j, column)[..d];
                let scores = &mut scores[(h * q_len + i) * stride..];
                dots(&mut scores[block.clone()], |_| query, row);
            }
        }
    }

    let [tops, sums, ..] = &mut scratch.of_query;
    let (tops, sums) = (
        grown(tops, heads.len() * q_len),
        grown(sums, heads.len() * q_len),
    );
    for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
        let (head, i) = (heads[row / q_len], row % q_len);
        let at = distances.index(sequence.position(i), 0);
        let biases = &distances.of_head(head.head)[at..][..stride];
        let scale = head.problem.layout.scale;
        (tops[row], sums[row]) = softmax_row(scores, biases, scale, sequence.visible(i));
        head.drop_query(scores, i);
    }

    for first in (0..k_len).step_by(LANES) {
        let block = first..(first + LANES).min(k_len);
        for (h, head) in heads.iter().enumerate() {
            let (column, d) = (head.key_column(), head.d());
            for i in 0..q_len {
                let weights = &scores[(h * q_len + i) * stride..][block.clone()];
                let row = |j| &value(first + j, column)[..d];
                add_weighted(head.row_mut(y, i), weights, row);
            }
        }
    }
    for (h, head) in heads.iter().enumerate() {
        let (y, log_sum_exp) = (&mut y[head.column()..], &mut log_sum_exp[h..]);
        let (tops, sums) = (&tops[h * q_len..][..q_len], &sums[h * q_len..][..q_len]);
        normalize_rows(y, log_sum_exp, tops, sums, *head);
    }
}

/// The share of one head and of at most 16 keys from `first` on; `along` is the sum of each query's
/// probabilities times their gradients.
#[inline(always)]
fn backward_block(
    head: Head<'_>,
    first: usize,
    saved: &Saved<'_>,
    distances: &Distances,
    along: &[f32],
    out: &mut Gradients<'_>,
) {
    let sequence = head.sequence;
    let (scale, biases) = (head.problem.layout.scale, distances.of_head(head.head));
    let count = LANES.min(sequence.k_len - first);
    let key = |j| head.key_row(saved.k, sequence.k_first + first + j);
    let value = |j| head.key_row(saved.v, sequence.k_first + first + j);
    // By query: probabilities as they were used, and gradients of scores.
    let mut probabilities = [[0.0; LANES]; FEW];
    let mut gradients = [[0.0; LANES]; FEW];
    for i in 0..sequence.q_len {
        let query = sequence.q_first + i;
        let (q, dy) = (head.row(saved.q, query), head.row(saved.dy, query));
        let log_sum_exp = saved.log_sum_exp[query * head.heads() + head.head] * LOG2_E;
        let (p, ds) = (&mut probabilities[i], &mut gradients[i]);
        dots(&mut p[..count], |_| q, key);
        dots(&mut ds[..count], |_| dy, value);
        let mut block_biases = [0.0; LANES];
        for (j, bias) in block_biases[..count].iter_mut().enumerate() {
            *bias = biases[distances.index(sequence.position(i), first + j)];
        }
        let factors = head.dropout().map(|key| {
            let mask = head.mask(key, i);
            std::array::from_fn::<_, LANES, _>(|j| mask.factor((first + j) as u32))
        });
        let numbers = AlongQueries {
            biases: &block_biases,
            log_sum_exp: &[log_sum_exp; LANES],
            along: &[along[i]; LANES],
            factors: factors.as_ref().map(|factors| factors.as_slice()),
        };
        gradient_row(p, ds, scale, numbers);
        let visible = sequence.visible(i).saturating_sub(first).min(count);
        p[visible..].fill(0.0);
        ds[visible..].fill(0.0);
        if !out.table.is_empty() {
            for (j, ds) in ds[..visible].iter().enumerate() {
                let at = distances.index(sequence.position(i), first + j);
                out.table[distances.bucket(at) * head.heads() + head.head] += ds;
            }
        }
        // What goes on from here is the gradient of `q · k`.
        ds.iter_mut().for_each(|ds| *ds *= scale);
        add_weighted(head.row_mut(out.dq, i), &ds[..count], key);
    }
    for j in 0..count {
        let of_queries = |weights: &[[f32; LANES]; FEW]| weights.map(|weights| weights[j]);
        let row = |i| head.row(saved.dy, sequence.q_first + i);
        let weights = of_queries(&probabilities);
        let dv = head.key_row_mut(out.dv, first + j);
        add_weighted(dv, &weights[..sequence.q_len], row);
        let row = |i| head.row(saved.q, sequence.q_first + i);
        let weights = of_queries(&gradients);
        let dk = head.key_row_mut(out.dk, first + j);
        add_weighted(dk, &weights[..sequence.q_len], row);
    }
}

/// `out += sum of weights[j] * row(j)`.
#[inline(always)]
fn add_weighted<'x, E: Element>(out: &mut [f32], weights: &[f32], row: impl Fn(usize) -> &'x [E]) {
    let (vectors, rest) = out.as_chunks_mut::<LANES>();
    let whole = vectors.len() * LANES;
    for (c, out) in vectors.iter_mut().enumerate() {
        let mut sums = *out;
        for (j, weight) in weights.iter().enumerate() {
            let x = &row(j)[c * LANES..][..LANES];
            for lane in 0..LANES {
                sums[lane] = weight.mul_add(x[lane].to_f32(), sums[lane]);
            }
        }
        *out = sums;
    }
    for (j, weight) in weights.iter().enumerate() {
        for (out, x) in rest.iter_mut().zip(&row(j)[whole..]) {
            *out += weight * x.to_f32();
        }
    }
}
