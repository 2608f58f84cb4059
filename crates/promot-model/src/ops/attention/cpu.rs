//! Attention on the CPU: one task a sequence, one tile a head, products by [`crate::gemm`].

use rayon::prelude::*;

use super::{InputGradients, Inputs, Kernels, Problem};
use crate::backend::Host;
use crate::gemm::{Matrix, matmul_serial};
use crate::ops::math::exp;
use crate::ops::parallel::vectorized;

/// The bias of one head by distance: `bias[distance + reach]`.
struct Diagonals {
    /// `(H, 2 * reach + 1)`.
    values: Vec<f32>,
    reach: usize,
}

impl Diagonals {
    fn new(table: &[f32], problem: &Problem) -> Self {
        let (heads, reach) = (problem.layout.num_heads, reach(problem));
        let buckets = problem.buckets.expect("a bias has buckets");
        let span = 2 * reach + 1;
        let mut values = vec![0.0; heads * span];
        for i in 0..span {
            let bucket = buckets.bucket(i as isize - reach as isize);
            for head in 0..heads {
                values[head * span + i] = table[bucket * heads + head];
            }
        }
        Self { values, reach }
    }

    fn span(&self) -> usize {
        2 * self.reach + 1
    }

    /// The biases of the keys `0..keys` for a query at position `query` of head `head`.
    #[inline(always)]
    fn row(&self, head: usize, query: usize, keys: usize) -> &[f32] {
        &self.values[head * self.span() + self.reach - query..][..keys]
    }
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
fn split<'a>(
    mut rows: &'a mut [f32],
    lengths: impl Iterator<Item = usize>,
    width: usize,
) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = rows.split_at_mut(length * width);
        parts.push(part);
        rows = rest;
    }
    parts
}

/// The largest of `x`, sixteen at a time.
#[inline(always)]
fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let blocks = x.chunks_exact(16);
    let rest = blocks.remainder();
    for block in blocks {
        for lane in 0..16 {
            lanes[lane] = lanes[lane].max(block[lane]);
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// Replaces `x` by `exp(x - shift)` and returns the sum.
#[inline(always)]
fn exp_in_place(x: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let mut blocks = x.chunks_exact_mut(16);
    for block in &mut blocks {
        for lane in 0..16 {
            block[lane] = exp(block[lane] - shift);
            lanes[lane] += block[lane];
        }
    }
    let mut rest = 0.0;
    for x in blocks.into_remainder() {
        *x = exp(*x - shift);
        rest += *x;
    }
    lanes.iter().sum::<f32>() + rest
}

/// One head's scores with bias, `(q_len, k_len)`, before any masking.
fn scores(
    tile: &mut Vec<f32>,
    inputs: &Inputs<'_, [f32]>,
    problem: &Problem,
    sequence: Sequence,
    head: usize,
    diagonals: Option<&Diagonals>,
) {
    let (d, width) = (problem.d_kv, problem.layout.num_heads * problem.d_kv);
    let Sequence {
        q_first,
        q_len,
        k_first,
        k_len,
    } = sequence;
    tile.resize(q_len * k_len, 0.0);
    let q = Matrix::strided(&inputs.q[q_first * width + head * d..], q_len, d, width);
    let k = Matrix::strided(&inputs.k[k_first * width + head * d..], k_len, d, width);
    matmul_serial(tile, k_len, q, k.t(), false);
    let (causal, scale) = (problem.layout.causal, problem.layout.scale);
    vectorized(|| {
        for (i, row) in tile.chunks_exact_mut(k_len).enumerate() {
            if scale != 1.0 {
                row.iter_mut().for_each(|score| *score *= scale);
            }
            if let Some(diagonals) = diagonals {
                let bias = diagonals.row(head, sequence.position(i, causal), k_len);
                row.iter_mut()
                    .zip(bias)
                    .for_each(|(score, bias)| *score += bias);
            }
        }
    });
}

/// Multiplies probabilities with their dropout factors.
fn drop_probabilities(tile: &mut [f32], problem: &Problem, sequence: Sequence, head: usize) {
    let Some(key) = problem.layout.dropout.filter(|key| key.rate > 0.0) else {
        return;
    };
    for (i, row) in tile.chunks_exact_mut(sequence.k_len).enumerate() {
        let query = ((sequence.q_first + i) * problem.layout.num_heads + head) as u64;
        // A key of its own for each query and head: positions then are those of the keys.
        let key = key.at(query);
        for (j, p) in row.iter_mut().enumerate() {
            *p *= key.factor(j as u64);
        }
    }
}

impl Kernels for Host {
    fn attention(&self, inputs: Inputs<'_, [f32]>, problem: &Problem) -> (Vec<f32>, Vec<f32>) {
        let (heads, d) = (problem.layout.num_heads, problem.d_kv);
        let width = heads * d;
        let causal = problem.layout.causal;
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
            .for_each_init(Vec::new, |tile, ((&sequence, y), lse)| {
                let Sequence {
                    q_len,
                    k_first,
                    k_len,
                    ..
                } = sequence;
                if q_len == 0 || k_len == 0 {
                    return;
                }
                for head in 0..heads {
                    scores(tile, &inputs, problem, sequence, head, diagonals.as_ref());
                    vectorized(|| {
                        for (i, row) in tile.chunks_exact_mut(k_len).enumerate() {
                            let (seen, hidden) = row.split_at_mut(sequence.visible(i, causal));
                            let top = max(seen);
                            let sum = exp_in_place(seen, top);
                            let inverse = 1.0 / sum;
                            seen.iter_mut().for_each(|p| *p *= inverse);
                            hidden.fill(0.0);
                            lse[i * heads + head] = top + sum.ln();
                        }
                    });
                    drop_probabilities(tile, problem, sequence, head);
                    let p = Matrix::new(tile, q_len, k_len);
                    let v =
                        Matrix::strided(&inputs.v[k_first * width + head * d..], k_len, d, width);
                    matmul_serial(&mut y[head * d..], width, p, v, false);
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
        let causal = problem.layout.causal;
        let sequences = Sequence::all(problem);
        let mut dq = vec![0.0; inputs.q.len()];
        let (mut dk, mut dv) = (vec![0.0; inputs.k.len()], vec![0.0; inputs.k.len()]);
        let diagonals = inputs.bias.map(|table| Diagonals::new(table, problem));
        let span = diagonals.as_ref().map_or(0, Diagonals::span);
        let dq_parts = split(&mut dq, sequences.iter().map(|s| s.q_len), width);
        let dk_parts = split(&mut dk, sequences.iter().map(|s| s.k_len), width);
        let dv_parts = split(&mut dv, sequences.iter().map(|s| s.k_len), width);

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
                        let column = |first: usize| first * width + head * d;
                        let q = Matrix::strided(&inputs.q[column(q_first)..], q_len, d, width);
                        let k = Matrix::strided(&inputs.k[column(k_first)..], k_len, d, width);
                        let v = Matrix::strided(&inputs.v[column(k_first)..], k_len, d, width);
                        let dy_head = Matrix::strided(&dy[column(q_first)..], q_len, d, width);

                        scores(p, &inputs, problem, sequence, head, diagonals.as_ref());
                        vectorized(|| {
                            for (i, row) in p.chunks_exact_mut(k_len).enumerate() {
                                let (seen, hidden) = row.split_at_mut(sequence.visible(i, causal));
                                exp_in_place(seen, log_sum_exp[(q_first + i) * heads + head]);
                                hidden.fill(0.0);
                            }
                        });
                        dropped.clone_from(p);
                        drop_probabilities(dropped, problem, sequence, head);
                        let used = Matrix::new(dropped, q_len, k_len);
                        matmul_serial(&mut dv[head * d..], width, used.t(), dy_head, false);

                        dp.resize(q_len * k_len, 0.0);
                        matmul_serial(dp, k_len, dy_head, v.t(), false);
                        drop_probabilities(dp, problem, sequence, head);
                        // ds = p * (dp - sum(p * dp)), and sum(p * dp) = dy · y.
                        vectorized(|| {
                            let rows = dp.chunks_exact_mut(k_len).zip(p.chunks_exact(k_len));
                            for (i, (ds, p)) in rows.enumerate() {
                                let at = column(q_first + i);
                                let (dy, y) = (&dy[at..][..d], &y[at..][..d]);
                                let along: f32 = dy.iter().zip(y).map(|(a, b)| a * b).sum();
                                for j in 0..k_len {
                                    ds[j] = p[j] * (ds[j] - along);
                                }
                                if with_bias {
                                    let diagonals = diagonals.as_ref().expect("a bias");
                                    let query = sequence.position(i, causal);
                                    let first = head * span + diagonals.reach - query;
                                    let share = &mut share[first..][..k_len];
                                    share.iter_mut().zip(&*ds).for_each(|(s, ds)| *s += ds);
                                }
                                if problem.layout.scale != 1.0 {
                                    ds.iter_mut().for_each(|ds| *ds *= problem.layout.scale);
                                }
                            }
                        });
                        let ds = Matrix::new(dp, q_len, k_len);
                        matmul_serial(&mut dq[head * d..], width, ds, k, false);
                        matmul_serial(&mut dk[head * d..], width, ds.t(), q, false);
                    }
                    share
                },
            )
            .collect();

        let dbias = with_bias.then(|| {
            let buckets = problem.buckets.expect("a bias has buckets");
            let reach = (span - 1) / 2;
            let mut dbias = vec![0.0; buckets.num_buckets * heads];
            for share in &shares {
                for (i, by_distance) in share.iter().enumerate() {
                    let (head, i) = (i / span, i % span);
                    let bucket = buckets.bucket(i as isize - reach as isize);
                    dbias[bucket * heads + head] += by_distance;
                }
            }
            dbias
        });
        InputGradients { dq, dk, dv, dbias }
    }
}
