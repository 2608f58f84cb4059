//! The head's loss on the CPU: products by [`crate::gemm`], rows in fixed blocks.

use rayon::prelude::*;

use super::{Kernels, Problem};
use crate::backend::Host;
use crate::gemm::{Matrix, matmul};
use crate::ops::math::exp;
use crate::ops::parallel::{BLOCK_ROWS, vectorized};

/// Classes handled at a time.
const CHUNK: usize = 2048;

/// What is known of a row after some chunks.
#[derive(Clone, Copy)]
struct Row {
    max: f32,
    /// Sum of `exp(logit - max)`.
    exp_sum: f32,
    /// Sum of logits, for label smoothing.
    logit_sum: f64,
    target_logit: f32,
}

/// Scaled logits of the classes from `first` on: `(T, classes)`.
fn logits<'a>(
    buffer: &'a mut Vec<f32>,
    hidden: &[f32],
    head: &[f32],
    problem: &Problem,
    first: usize,
    classes: usize,
) -> &'a mut [f32] {
    let (tokens, width) = (problem.targets.len(), problem.width);
    buffer.resize(tokens * classes, 0.0);
    let head = Matrix::new(&head[first * width..][..classes * width], classes, width);
    matmul(buffer, Matrix::new(hidden, tokens, width), head.t(), false);
    if problem.logit_scale != 1.0 {
        buffer
            .iter_mut()
            .for_each(|logit| *logit *= problem.logit_scale);
    }
    buffer
}

fn chunks(vocab_size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..vocab_size)
        .step_by(CHUNK)
        .map(move |first| (first, CHUNK.min(vocab_size - first)))
}

impl Row {
    const EMPTY: Self = Self {
        max: f32::NEG_INFINITY,
        exp_sum: 0.0,
        logit_sum: 0.0,
        target_logit: 0.0,
    };

    #[inline(always)]
    fn add(&mut self, logits: &[f32], target: Option<usize>) {
        const LANES: usize = 16;
        let mut max = [f32::NEG_INFINITY; LANES];
        let mut sums = [0.0f32; LANES];
        let blocks = logits.chunks_exact(LANES);
        let rest = blocks.remainder();
        for block in blocks {
            for lane in 0..LANES {
                max[lane] = max[lane].max(block[lane]);
                sums[lane] += block[lane];
            }
        }
        let chunk_max = max
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let logit_sum = sums.iter().chain(rest).map(|&x| f64::from(x)).sum::<f64>();
        let new_max = self.max.max(chunk_max);
        let mut exps = [0.0f32; LANES];
        for block in logits.chunks_exact(LANES) {
            for lane in 0..LANES {
                exps[lane] += exp(block[lane] - new_max);
            }
        }
        let exp_sum =
            exps.iter().sum::<f32>() + rest.iter().map(|&x| exp(x - new_max)).sum::<f32>();
        self.exp_sum = self.exp_sum * exp(self.max - new_max) + exp_sum;
        self.max = new_max;
        self.logit_sum += logit_sum;
        if let Some(target) = target {
            self.target_logit = logits[target];
        }
    }
}

impl Kernels for Host {
    fn cross_entropy(
        &self,
        hidden: &[f32],
        head: &[f32],
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        let targets = &problem.targets;
        let mut rows = vec![Row::EMPTY; targets.len()];
        let mut buffer = Vec::new();
        for (first, classes) in chunks(problem.vocab_size) {
            let logits = logits(&mut buffer, hidden, head, problem, first, classes);
            rows.par_chunks_mut(BLOCK_ROWS)
                .zip(logits.par_chunks(BLOCK_ROWS * classes))
                .zip(targets.par_chunks(BLOCK_ROWS))
                .for_each(|((rows, logits), targets)| {
                    vectorized(|| {
                        let logits = logits.chunks_exact(classes);
                        for ((row, logits), &target) in rows.iter_mut().zip(logits).zip(targets) {
                            let target = (target as usize).checked_sub(first);
                            row.add(logits, target.filter(|&target| target < classes));
                        }
                    });
                });
        }
        let (target_weight, other_weight, constant) = problem.smoothing.weights(problem.vocab_size);
        let mut total = 0.0;
        let mut log_sum_exp = Vec::with_capacity(rows.len());
        for row in &rows {
            let lse = f64::from(row.max) + f64::from(row.exp_sum).ln();
            let target = f64::from(row.target_logit);
            let others = row.logit_sum - target;
            // Sum over classes of weight * (lse - logit); the weights sum to 1.
            let other_mass = f64::from(other_weight) * (problem.vocab_size as f64 - 1.0);
            total += f64::from(target_weight) * (lse - target) + other_mass * lse
                - f64::from(other_weight) * others
                - f64::from(constant);
            log_sum_exp.push(lse as f32);
        }
        (vec![(total / rows.len() as f64) as f32], log_sum_exp)
    }

    fn cross_entropy_backward(
        &self,
        mut dhidden: Option<&mut [f32]>,
        mut dhead: Option<&mut [f32]>,
        seed: &[f32],
        log_sum_exp: &[f32],
        hidden: &[f32],
        head: &[f32],
        problem: &Problem,
    ) {
        let (tokens, width) = (problem.targets.len(), problem.width);
        let (target_weight, other_weight, _) = problem.smoothing.weights(problem.vocab_size);
        let scale = seed[0] * problem.logit_scale / tokens as f32;
        let mut buffer = Vec::new();
        for (first, classes) in chunks(problem.vocab_size) {
            let dlogits = logits(&mut buffer, hidden, head, problem, first, classes);
            dlogits
                .par_chunks_mut(BLOCK_ROWS * classes)
                .zip(problem.targets.par_chunks(BLOCK_ROWS))
                .zip(log_sum_exp.par_chunks(BLOCK_ROWS))
                .for_each(|((dlogits, targets), lse)| {
                    vectorized(|| {
                        let rows = dlogits.chunks_exact_mut(classes);
                        for ((row, &target), &lse) in rows.zip(targets).zip(lse) {
                            for logit in row.iter_mut() {
                                *logit = scale * (exp(*logit - lse) - other_weight);
                            }
                            let target = (target as usize).wrapping_sub(first);
                            if let Some(logit) = row.get_mut(target) {
                                *logit -= scale * (target_weight - other_weight);
                            }
                        }
                    });
                });
            let dlogits = Matrix::new(dlogits, tokens, classes);
            if let Some(dhidden) = dhidden.as_deref_mut() {
                let head = Matrix::new(&head[first * width..][..classes * width], classes, width);
                matmul(dhidden, dlogits, head, true);
            }
            if let Some(dhead) = dhead.as_deref_mut() {
                let dhead = &mut dhead[first * width..][..classes * width];
                matmul(dhead, dlogits.t(), Matrix::new(hidden, tokens, width), true);
            }
        }
    }
}
