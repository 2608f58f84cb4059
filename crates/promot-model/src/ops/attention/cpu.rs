//! Attention on the CPU: one task a sequence, one tile a head, products by [`crate::gemm`].

use rayon::prelude::*;

use super::{InputGradients, Inputs, Kernels, Problem};
use crate::backend::Host;
use crate::gemm::{Matrix, matmul_serial};
use crate::ops::dropout::DropoutKey;
use crate::ops::math::{exp_in_place, max};
use crate::ops::parallel::vectorized;

/// Rows of a tile are padded to a multiple of this, so that loops over them leave no rest.
const TILE_ALIGN: usize = 8;

/// The bias of one head by distance: `bias[distance + reach]`.
struct Diagonals {
    /// `(H, span)`.
    values: Vec<f32>,
    reach: usize,
}

impl Diagonals {
    fn new(table: &[f32], problem: &Problem) -> Self {
        let (heads, reach) = (problem.layout.num_heads, reach(problem));
        let buckets = problem.buckets.expect("a bias has buckets");
        let span = span_of(reach);
        let mut values = vec![0.0; heads * span];
        for i in 0..=2 * reach {
            let bucket = buckets.bucket(i as isize - reach as isize);
            for head in 0..heads {
                values[head * span + i] = table[bucket * heads + head];
            }
        }
        Self { values, reach }
    }

    fn span(&self) -> usize {
        span_of(self.reach)
    }

    /// Where the biases of the keys from 0 on start, for a query at position `query` of `head`.
    #[inline(always)]
    fn first(&self, head: usize, query: usize) -> usize {
        head * self.span() + self.reach - query
    }
}

/// Distances of one head, and what the padding of a tile's rows reads beyond them.
fn span_of(reach: usize) -> usize {
    2 * reach + 1 + TILE_ALIGN
}

/// The largest distance between a query and a key of any sequence.
fn reach(problem: &Problem) -> usize {
    problem
        .layout
        .kv_offsets
        .windows(2)
        .map(|w| w[1] - w[0])
        .max()
        .unwrap_or(0)
}

/// One sequence: rows of its queries and keys.
#[derive(Clone, Copy)]
struct Sequence {
    q_first: usize,
    q_len: usize,
    k_first: usize,
    k_len: usize,
}

impl Sequence {
    fn all(problem: &Problem) -> Vec<Self> {
        let pairs = problem
            .layout
            .q_offsets
            .windows(2)
            .zip(problem.layout.kv_offsets.windows(2));
        pairs
            .map(|(q, k)| Self {
                q_first: q[0],
                q_len: q[1] - q[0],
                k_first: k[0],
                k_len: k[1] - k[0],
            })
            .collect()
    }

    /// The position of query `i` among the keys.
    #[inline(always)]
    fn position(&self, i: usize, causal: bool) -> usize {
        if causal {
            i + self.k_len - self.q_len
        } else {
            i
        }
    }

    /// From one row of a tile to the next.
    #[inline(always)]
    fn stride(&self) -> usize {
        self.k_len.next_multiple_of(TILE_ALIGN)
    }

    /// How many keys query `i` sees.
    #[inline(always)]
    fn visible(&self, i: usize, causal: bool) -> usize {
        if causal {
            self.position(i, true) + 1
        } else {
            self.k_len
        }
    }
}

/// Splits rows of `width` into the sequences' parts.
fn split(
    mut rows: &mut [f32],
    lengths: impl Iterator<Item = usize>,
    width: usize,
) -> Vec<&mut [f32]> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = rows.split_at_mut(length * width);
        parts.push(part);
        rows = rest;
    }
    parts
}

/// A tile's place: one head of one sequence.
#[derive(Clone, Copy)]
struct Tile<'a> {
    problem: &'a Problem,
    sequence: Sequence,
    head: usize,
}

impl Tile<'_> {
    /// The columns of this tile's head in rows of `x` from `first` on.
    fn rows<'x>(&self, x: &'x [f32], first: usize, rows: usize) -> Matrix<'x> {
        let (d, width) = (
            self.problem.d_kv,
            self.problem.layout.num_heads * self.problem.d_kv,
        );
        Matrix::strided(&x[first * width + self.head * d..], rows, d, width)
    }

    /// Its values as a matrix, without the padding.
    fn matrix<'x>(&self, values: &'x [f32]) -> Matrix<'x> {
        let Sequence { q_len, k_len, .. } = self.sequence;
        Matrix::strided(values, q_len, k_len, self.sequence.stride())
    }

    /// The dropout key of query `i`: one for each query and head, so that positions in it are
    /// those of the keys.
    #[inline(always)]
    fn query_key(&self, key: DropoutKey, i: usize) -> DropoutKey {
        let query = (self.sequence.q_first + i) * self.problem.layout.num_heads + self.head;
        key.at(query as u64)
    }

    /// Its scores with bias, `(q_len, stride)`; hidden ones and padding are minus infinity.
    fn scores(
        &self,
        values: &mut Vec<f32>,
        inputs: &Inputs<'_, [f32]>,
        diagonals: Option<&Diagonals>,
    ) {
        let sequence = self.sequence;
        let q = self.rows(inputs.q, sequence.q_first, sequence.q_len);
        let k = self.rows(inputs.k, sequence.k_first, sequence.k_len);
        values.resize(sequence.q_len * sequence.stride(), 0.0);
        matmul_serial(values, sequence.stride(), q, k.t(), false);
        finish_scores(values, *self, diagonals);
    }

    /// Multiplies probabilities, or their gradients, with their dropout factors.
    fn drop_probabilities(&self, values: &mut [f32]) {
        let key = self.problem.layout.dropout;
        if let Some(key) = key.filter(|key| key.rate > 0.0) {
            drop_rows(values, *self, key);
        }
    }
}

/// What the backward pass of a tile reads.
#[derive(Clone, Copy)]
struct Saved<'a> {
    dy: &'a [f32],
    y: &'a [f32],
}

vectorized! {
    fn finish_scores(values: &mut [f32], tile: Tile<'_>, diagonals: Option<&Diagonals>) {
        let Tile { problem, sequence, head } = tile;
        let (causal, scale) = (problem.layout.causal, problem.layout.scale);
        for (i, row) in values.chunks_exact_mut(sequence.stride()).enumerate() {
            if scale != 1.0 {
                row.iter_mut().for_each(|score| *score *= scale);
            }
            if let Some(diagonals) = diagonals {
                let first = diagonals.first(head, sequence.position(i, causal));
                for (score, bias) in row.iter_mut().zip(&diagonals.values[first..]) {
                    *score += bias;
                }
            }
            row[sequence.visible(i, causal)..].fill(f32::NEG_INFINITY);
        }
    }

    /// Scores to probabilities, row by row, and their log-sum-exp.
    fn softmax_rows(values: &mut [f32], tile: Tile<'_>, log_sum_exp: &mut [f32]) {
        let heads = tile.problem.layout.num_heads;
        for (i, row) in values.chunks_exact_mut(tile.sequence.stride()).enumerate() {
            let top = max(row);
            let sum = exp_in_place(row, top);
            let inverse = 1.0 / sum;
            row.iter_mut().for_each(|p| *p *= inverse);
            log_sum_exp[i * heads + tile.head] = top + sum.ln();
        }
    }

    /// Scores to probabilities with the log-sum-exp of the forward pass.
    fn probability_rows(values: &mut [f32], tile: Tile<'_>, log_sum_exp: &[f32]) {
        let heads = tile.problem.layout.num_heads;
        for (i, row) in values.chunks_exact_mut(tile.sequence.stride()).enumerate() {
            let query = tile.sequence.q_first + i;
            exp_in_place(row, log_sum_exp[query * heads + tile.head]);
        }
    }

    fn drop_rows(values: &mut [f32], tile: Tile<'_>, key: DropoutKey) {
        for (i, row) in values.chunks_exact_mut(tile.sequence.stride()).enumerate() {
            let mask = tile.query_key(key, i).mask();
            for (j, p) in row.iter_mut().enumerate() {
                *p *= mask.factor(j as u32);
            }
        }
    }

    /// `ds = p * (dp - sum(p * dp))` in place of `dp`, where `sum(p * dp) = dy · y`; adds it to
    /// the bias gradient by distance, `share`, unless that is empty.
    fn score_gradient_rows(
        dp: &mut [f32],
        p: &[f32],
        share: &mut [f32],
        tile: Tile<'_>,
        saved: Saved<'_>,
        diagonals: Option<&Diagonals>,
    ) {
        let Tile { problem, sequence, head } = tile;
        let (d, scale) = (problem.d_kv, problem.layout.scale);
        let width = problem.layout.num_heads * d;
        let stride = sequence.stride();
        let rows = dp.chunks_exact_mut(stride).zip(p.chunks_exact(stride));
        for (i, (ds, p)) in rows.enumerate() {
            let at = (sequence.q_first + i) * width + head * d;
            let (dy, y) = (&saved.dy[at..][..d], &saved.y[at..][..d]);
            let along: f32 = dy.iter().zip(y).map(|(a, b)| a * b).sum();
            // Memory beyond the keys is not part of the product that made `dp`.
            ds[sequence.k_len..].fill(0.0);
            for (ds, p) in ds.iter_mut().zip(p) {
                *ds = p * (*ds - along);
            }
            if let Some(diagonals) = diagonals.filter(|_| !share.is_empty()) {
                let first = diagonals.first(head, sequence.position(i, problem.layout.causal));
                for (share, ds) in share[first..].iter_mut().zip(&*ds) {
                    *share += ds;
                }
            }
            if scale != 1.0 {
                ds.iter_mut().for_each(|ds| *ds *= scale);
            }
        }
    }
}

impl Kernels for Host {
    fn attention(&self, inputs: Inputs<'_, [f32]>, problem: &Problem) -> (Vec<f32>, Vec<f32>) {
        let (heads, d) = (problem.layout.num_heads, problem.d_kv);
        let width = heads * d;
        let sequences = Sequence::all(problem);
        let queries = inputs.q.len() / width;
        let (mut y, mut lse) = (
            vec![0.0; queries * width],
            vec![f32::NEG_INFINITY; queries * heads],
        );
        let diagonals = inputs.bias.map(|table| Diagonals::new(table, problem));
        let y_parts = split(&mut y, sequences.iter().map(|s| s.q_len), width);
        let lse_parts = split(&mut lse, sequences.iter().map(|s| s.q_len), heads);
        sequences
            .par_iter()
            .zip(y_parts)
            .zip(lse_parts)
            .for_each_init(Vec::new, |p, ((&sequence, y), lse)| {
                if sequence.q_len == 0 || sequence.k_len == 0 {
                    return;
                }
                for head in 0..heads {
                    let tile = Tile {
                        problem,
                        sequence,
                        head,
                    };
                    tile.scores(p, &inputs, diagonals.as_ref());
                    softmax_rows(p, tile, lse);
                    tile.drop_probabilities(p);
                    let v = tile.rows(inputs.v, sequence.k_first, sequence.k_len);
                    matmul_serial(&mut y[head * d..], width, tile.matrix(p), v, false);
                }
            });
        (y, lse)
    }

    fn attention_backward(
        &self,
        dy: &[f32],
        y: &[f32],
        log_sum_exp: &[f32],
        inputs: Inputs<'_, [f32]>,
        problem: &Problem,
        with_bias: bool,
    ) -> InputGradients<Vec<f32>> {
        let (heads, d) = (problem.layout.num_heads, problem.d_kv);
        let width = heads * d;
        let sequences = Sequence::all(problem);
        let mut dq = vec![0.0; inputs.q.len()];
        let (mut dk, mut dv) = (vec![0.0; inputs.k.len()], vec![0.0; inputs.k.len()]);
        let diagonals = inputs.bias.map(|table| Diagonals::new(table, problem));
        let span = diagonals.as_ref().map_or(0, Diagonals::span);
        let dq_parts = split(&mut dq, sequences.iter().map(|s| s.q_len), width);
        let dk_parts = split(&mut dk, sequences.iter().map(|s| s.k_len), width);
        let dv_parts = split(&mut dv, sequences.iter().map(|s| s.k_len), width);

        let saved = Saved { dy, y };

        // Each sequence's share of the bias gradient by distance, added up in order below.
        let shares: Vec<Vec<f32>> = sequences
            .par_iter()
            .zip(dq_parts)
            .zip(dk_parts)
            .zip(dv_parts)
            .map_init(
                || (Vec::new(), Vec::new(), Vec::new()),
                |(p, dp, dropped), (((&sequence, dq), dk), dv)| {
                    let Sequence {
                        q_first,
                        q_len,
                        k_first,
                        k_len,
                    } = sequence;
                    let mut share = vec![0.0; if with_bias { heads * span } else { 0 }];
                    if q_len == 0 || k_len == 0 {
                        return share;
                    }
                    for head in 0..heads {
                        let tile = Tile {
                            problem,
                            sequence,
                            head,
                        };
                        let q = tile.rows(inputs.q, q_first, q_len);
                        let k = tile.rows(inputs.k, k_first, k_len);
                        let v = tile.rows(inputs.v, k_first, k_len);
                        let dy = tile.rows(saved.dy, q_first, q_len);

                        tile.scores(p, &inputs, diagonals.as_ref());
                        probability_rows(p, tile, log_sum_exp);
                        dropped.clone_from(p);
                        tile.drop_probabilities(dropped);
                        let used = tile.matrix(dropped);
                        matmul_serial(&mut dv[head * d..], width, used.t(), dy, false);

                        dp.resize(p.len(), 0.0);
                        matmul_serial(dp, sequence.stride(), dy, v.t(), false);
                        tile.drop_probabilities(dp);
                        score_gradient_rows(dp, p, &mut share, tile, saved, diagonals.as_ref());
                        let ds = tile.matrix(dp);
                        matmul_serial(&mut dq[head * d..], width, ds, k, false);
                        matmul_serial(&mut dk[head * d..], width, ds.t(), q, false);
                    }
                    share
                },
            )
            .collect();

        let dbias = with_bias.then(|| {
            let buckets = problem.buckets.expect("a bias has buckets");
            let reach = reach(problem);
            let bucket_of: Vec<usize> = (0..=2 * reach)
                .map(|i| buckets.bucket(i as isize - reach as isize))
                .collect();
            let mut dbias = vec![0.0; buckets.num_buckets * heads];
            for share in &shares {
                for (head, by_distance) in share.chunks_exact(span).enumerate() {
                    for (&bucket, ds) in bucket_of.iter().zip(by_distance) {
                        dbias[bucket * heads + head] += ds;
                    }
                }
            }
            dbias
        });
        InputGradients { dq, dk, dv, dbias }
    }
}
