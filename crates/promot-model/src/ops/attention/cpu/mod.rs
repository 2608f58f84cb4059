//! Attention on the CPU: one task a sequence, heads one after another, strips of scores that stay
//! in the cache.

mod backward;
mod distances;
mod fixed;
mod forward;
mod fresh;
mod head;
mod merge;
mod scratch;
mod sequences;
mod short;
mod softmax;
mod states;
mod tokens;
mod wide;

use self::distances::{Along, Distances};
use self::fixed::HostFixedKeys;
use self::fresh::Fresh;
use self::head::{Head, Sequence};
use self::scratch::Scratch;
pub(in crate::ops) use self::sequences::Sequences;
pub(in crate::ops) use self::tokens::TokenRows;
use super::{InputGradients, Inputs, Kernels, Problem};
use crate::backend::{Host, HostTensor};
use crate::gemm::Precision;
use crate::ops::parallel::largest_first;
use crate::slices::split;

/// What the backward pass reads: as in [`Inputs`], with queries, keys and values in any numbers.
struct Saved<'a, E = f32> {
    q: &'a [E],
    k: &'a [E],
    v: &'a [E],
    dy: &'a [f32],
    y: &'a [f32],
    log_sum_exp: &'a [f32],
}

/// One sequence's rows of the gradients, and its share of that of the bias table.
struct Gradients<'a> {
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
    /// `(num_buckets, H)`; empty if not asked for.
    table: &'a mut [f32],
}

impl Kernels for Host {
    fn attention(&self, inputs: Inputs<'_, [f32]>, problem: &Problem) -> (Vec<f32>, Vec<f32>) {
        let distances = Distances::new(inputs.bias, problem, Along::Keys);
        outputs(
            inputs.q.len(),
            problem,
            |scratch, _, sequence, y, log_sum_exp| {
                let heads = heads_of(sequence, problem, self.precision());
                if sequence.q_len < short::FEW {
                    short::forward(&heads, &inputs, &distances, scratch, y, log_sum_exp);
                } else {
                    let tensors = [inputs.q, inputs.k, inputs.v];
                    for head in heads {
                        forward::forward(head, tensors, &distances, scratch, y, log_sum_exp);
                    }
                }
            },
        )
    }

    type FixedKeys = HostFixedKeys;

    fn fix_keys(
        &self,
        tensors: [HostTensor; 2],
        kv_offsets: &[usize],
        num_kv_heads: usize,
    ) -> HostFixedKeys {
        HostFixedKeys::new(tensors, kv_offsets, num_kv_heads, self.precision())
    }

    fn attention_to_fixed(
        &self,
        q: &[f32],
        keys: &HostFixedKeys,
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        keys.attention(self, q, problem)
    }

    fn merge_attention(&self, parts: &[(&[f32], &[f32])], d_kv: usize) -> Vec<f32> {
        merge::merge(parts, d_kv)
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
        let heads = problem.layout.num_heads;
        let width = heads * problem.d_kv;
        let key_width = problem.layout.num_kv_heads * problem.d_kv;
        let [mut dq, mut dk, mut dv] =
            [inputs.q, inputs.k, inputs.v].map(|input| Fresh::new(input.len()));
        let distances = Distances::new(inputs.bias, problem, Along::Queries);
        let saved = Saved {
            q: inputs.q,
            k: inputs.k,
            v: inputs.v,
            dy,
            y,
            log_sum_exp,
        };
        // Each sequence's share of the table's gradient, added up in order below.
        let table_len = problem
            .buckets
            .filter(|_| with_bias)
            .map(|b| b.num_buckets * heads);
        let mut tables = vec![0.0; table_len.unwrap_or(0) * Sequence::all(problem).count()];

        let q_lens = || Sequence::all(problem).map(|sequence| sequence.q_len * width);
        let k_lens = || Sequence::all(problem).map(|sequence| sequence.k_len * key_width);
        let table_lens = Sequence::all(problem).map(|_| table_len.unwrap_or(0));
        let outputs = (dq
            .parts(q_lens())
            .zip(dk.parts(k_lens()))
            .zip(dv.parts(k_lens())))
        .zip(split(&mut tables, table_lens));
        let tasks = Sequence::all(problem).zip(outputs).collect();
        run(
            tasks,
            problem,
            |scratch, sequence, (((dq, dk), dv), table)| {
                let mut out = Gradients {
                    dq: dq.zeroed(),
                    dk: dk.zeroed(),
                    dv: dv.zeroed(),
                    table,
                };
                if sequence.is_empty() {
                    return;
                }
                let heads = heads_of(sequence, problem, self.precision());
                if sequence.q_len < short::FEW {
                    short::backward(&heads, &saved, &distances, scratch, &mut out);
                } else {
                    for head in heads {
                        backward::backward(head, &saved, &distances, scratch, &mut out);
                    }
                }
            },
        );

        let dbias = table_len.map(|len| {
            let mut dbias = vec![0.0; len];
            for table in tables.chunks_exact(len) {
                dbias
                    .iter_mut()
                    .zip(table)
                    .for_each(|(sum, share)| *sum += share);
            }
            dbias
        });
        InputGradients {
            dq: dq.finish(),
            dk: dk.finish(),
            dv: dv.finish(),
            dbias,
        }
    }
}

/// The output and the log-sum-exp: `f` gets the index of each sequence that is not empty, and writes
/// its rows, zeros at first.
fn outputs(
    len: usize,
    problem: &Problem,
    f: impl Fn(&mut Scratch, usize, Sequence, &mut [f32], &mut [f32]) + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let heads = problem.layout.num_heads;
    let width = heads * problem.d_kv;
    let mut y = Fresh::new(len);
    let mut log_sum_exp = vec![f32::NEG_INFINITY; len / problem.d_kv];
    let q_lens = || Sequence::all(problem).map(|sequence| sequence.q_len);
    let outputs = y
        .parts(q_lens().map(|len| len * width))
        .zip(split(&mut log_sum_exp, q_lens().map(|len| len * heads)))
        .enumerate();
    let tasks = Sequence::all(problem).zip(outputs).collect();
    run(
        tasks,
        problem,
        |scratch, sequence, (index, (y, log_sum_exp))| {
            let y = y.zeroed();
            if !sequence.is_empty() {
                f(scratch, index, sequence, y, log_sum_exp);
            }
        },
    );
    (y.finish(), log_sum_exp)
}

fn heads_of(sequence: Sequence, problem: &Problem, precision: Precision) -> Vec<Head<'_>> {
    let head = |head| Head {
        problem,
        sequence,
        head,
        precision,
    };
    (0..problem.layout.num_heads).map(head).collect()
}

/// Multiplications below which other threads would take longer to wake up than to help.
const SMALL: usize = 1 << 17;

/// Calls `f` for every sequence, on other threads, too, if that is worth it.
fn run<T: Send>(
    tasks: Vec<(Sequence, T)>,
    problem: &Problem,
    f: impl Fn(&mut Scratch, Sequence, T) + Sync,
) {
    let scores: usize = tasks.iter().map(|(sequence, _)| sequence.scores()).sum();
    let task = |(sequence, out)| Scratch::with(|scratch| f(scratch, sequence, out));
    if scores * problem.layout.num_heads * problem.d_kv < SMALL {
        tasks.into_iter().for_each(task);
    } else {
        largest_first(tasks, |(sequence, _)| sequence.scores(), task);
    }
}
