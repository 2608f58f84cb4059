//! Attention to keys that were packed beforehand: a product with a few queries costs little more
//! than reading the keys, in the numbers that bf16 instructions multiply.

use rayon::prelude::*;

use super::super::{Inputs, Kernels, Problem};
use super::head::{Head, Sequence};
use super::scratch::{Scratch, grown, strip_rows};
use super::softmax::{normalize, softmax_row};
use super::wide::padded;
use crate::backend::{Device as _, Host, HostTensor};
use crate::gemm::{Matrix, Packed, Precision, matmul_packed, packs_bf16, vectorized};

/// Keys and values that stay as they are.
pub struct HostFixedKeys(Form);

enum Form {
    /// Read where they are. Without bf16 instructions that is all there is to do, and in `f32` three
    /// products for one take longer than plain loops over so few queries.
    Plain([HostTensor; 2]),
    /// Of one sequence after another, all heads of each.
    Packed(Vec<PackedHead>),
}

/// One head of one sequence, as right factors.
#[derive(Default)]
struct PackedHead {
    /// `(d_kv, keys)`.
    keys: Packed,
    /// `(keys, d_kv)`.
    values: Packed,
}

impl HostFixedKeys {
    pub(super) fn new(
        tensors: [HostTensor; 2],
        kv_offsets: &[usize],
        num_kv_heads: usize,
        precision: Precision,
    ) -> Self {
        if precision == Precision::F32 || !packs_bf16(precision) {
            return Self(Form::Plain(tensors));
        }
        let [keys, values] = tensors.each_ref().map(Host::slice);
        let width = Host::shape(&tensors[0]).1;
        let pack = |ends: &[usize], head| {
            let (first, d_kv) = (ends[0], width / num_kv_heads);
            let of_head = |x| {
                let tokens = Matrix::new(x, kv_offsets[kv_offsets.len() - 1], width);
                let tokens = tokens.row_range(first, ends[1] - first);
                tokens.t().row_range(head * d_kv, d_kv)
            };
            let mut packed = PackedHead::default();
            packed.keys.pack_b(of_head(keys), precision);
            packed.values.pack_b(of_head(values).t(), precision);
            packed
        };
        let sequences: Vec<&[usize]> = kv_offsets.windows(2).collect();
        let heads = sequences
            .into_par_iter()
            .flat_map_iter(|ends| (0..num_kv_heads).map(move |head| pack(ends, head)));
        Self(Form::Packed(heads.collect()))
    }

    /// As [`Kernels::attention_to_fixed`].
    pub(super) fn attention(
        &self,
        host: &Host,
        q: &[f32],
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        let heads = match &self.0 {
            Form::Plain([k, v]) => {
                let (k, v) = (Host::slice(k), Host::slice(v));
                let bias = None;
                return host.attention(Inputs { q, k, v, bias }, problem);
            }
            Form::Packed(heads) => heads,
        };
        let num_kv_heads = problem.layout.num_kv_heads;
        super::outputs(
            q.len(),
            problem,
            |scratch, index, sequence, y, log_sum_exp| {
                let index = if problem.layout.shared_keys { 0 } else { index };
                let of_sequence = &heads[index * num_kv_heads..][..num_kv_heads];
                for (kv_head, packed) in of_sequence.iter().enumerate() {
                    let group = Group::new(problem, sequence, kv_head, host.precision());
                    forward(group, packed, q, scratch, y, log_sum_exp);
                }
            },
        )
    }
}

/// The heads of queries that share a head of keys, in one sequence. Its rows are their queries, all
/// heads of the first one, then of the next one, and so on.
#[derive(Clone, Copy)]
struct Group<'a> {
    /// The first of them.
    head: Head<'a>,
    /// How many there are.
    heads: usize,
}

impl<'a> Group<'a> {
    fn new(problem: &'a Problem, sequence: Sequence, kv_head: usize, precision: Precision) -> Self {
        let heads = problem.layout.num_heads / problem.layout.num_kv_heads;
        let head = Head {
            problem,
            sequence,
            head: kv_head * heads,
            precision,
        };
        Self { head, heads }
    }

    fn rows(&self) -> usize {
        self.heads * self.head.sequence.q_len
    }

    /// The query and the head of a row.
    fn row(&self, row: usize) -> (usize, Head<'a>) {
        let head = Head {
            head: self.head.head + row % self.heads,
            ..self.head
        };
        (row / self.heads, head)
    }
}

/// Writes the group's columns of the sequence's rows of the output and of the log-sum-exp.
fn forward(
    group: Group<'_>,
    packed: &PackedHead,
    q: &[f32],
    scratch: &mut Scratch,
    y: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let head = group.head;
    let (k_len, d) = (head.sequence.k_len, head.d());
    let stride = padded(k_len);
    let strip = strip_rows(group.rows(), stride);
    let [left, ..] = &mut scratch.packed;
    for first in (0..group.rows()).step_by(strip) {
        let count = strip.min(group.rows() - first);
        // The same memory for what goes into the products and for what comes out.
        let rows = grown(&mut scratch.gradients, count * d);
        for (row, columns) in (first..).zip(rows.chunks_exact_mut(d)) {
            let (i, head) = group.row(row);
            columns.copy_from_slice(head.row(q, head.sequence.q_first + i));
        }
        let queries = left.pack_a(Matrix::new(rows, count, d), head.precision);
        let scores = grown(&mut scratch.scores, count * stride);
        matmul_packed(scores, stride, queries, packed.keys.factor(), false);

        let [tops, sums, zeros] = &mut scratch.of_query;
        let (tops, sums) = (grown(tops, count), grown(sums, count));
        exponentials(scores, tops, sums, grown(zeros, stride), head);
        let scores = Matrix::strided(scores, count, k_len, stride);
        let scores = left.pack_a(scores, head.precision);
        let sums_of_values = grown(&mut scratch.gradients, count * d);
        matmul_packed(sums_of_values, d, scores, packed.values.factor(), false);
        for (row, sum_of_values) in sums_of_values.chunks_exact(d).enumerate() {
            let (i, head) = group.row(first + row);
            let y = head.row_mut(y, i);
            y.copy_from_slice(sum_of_values);
            log_sum_exp[i * head.heads() + head.head] = normalize(y, tops[row], sums[row]);
        }
    }
}

vectorized! {
    /// Scores to exponentials, by [`softmax_row`].
    fn exponentials(
        scores: &mut [f32],
        tops: &mut [f32],
        sums: &mut [f32],
        zeros: &mut [f32],
        head: Head<'_>,
    ) {
        zeros.fill(0.0);
        let (scale, visible) = (head.problem.layout.scale, head.sequence.k_len);
        let rows = scores.chunks_exact_mut(zeros.len()).zip(tops).zip(sums);
        for ((row, top), sum) in rows {
            (*top, *sum) = softmax_row(row, zeros, scale, visible);
        }
    }
}
