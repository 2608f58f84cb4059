//! The head's loss on the CPU: products by [`crate::gemm`], rows in fixed blocks.

use rayon::prelude::*;

use super::{Kernels, Problem};
use crate::backend::{Device as _, Host, HostTensor};
use crate::gemm::{Matrix, Precision, matmul, vectorized};
use crate::ops::math::{self, exp};
use crate::ops::parallel::{BLOCK_ROWS, for_value_blocks};
use crate::ops::scale::scale_values;

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
    precision: Precision,
) -> &'a mut [f32] {
    let (tokens, width) = (problem.targets.len(), problem.width);
    buffer.resize(tokens * classes, 0.0);
    let head = Matrix::new(&head[first * width..][..classes * width], classes, width);
    matmul(
        buffer,
        Matrix::new(hidden, tokens, width),
        head.t(),
        false,
        precision,
    );
    if problem.logit_scale != 1.0 {
        for_value_blocks(buffer, |_, logits| {
            scale_values(logits, problem.logit_scale)
        });
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
        let max = self.max.max(math::max(logits));
        self.exp_sum = self.exp_sum * exp(self.max - max) + math::exp_sum(logits, max);
        self.max = max;
        self.logit_sum += f64::from(math::sum(logits));
        if let Some(target) = target {
            self.target_logit = logits[target];
        }
    }
}

/// What a chunk's gradients are computed with.
#[derive(Clone, Copy)]
struct Weights {
    /// Of the whole gradient.
    scale: f32,
    target: f32,
    other: f32,
}

vectorized! {
    fn add_rows(rows: &mut [Row], logits: &[f32], targets: &[u32], first: usize, classes: usize) {
        let logits = logits.chunks_exact(classes);
        for ((row, logits), &target) in rows.iter_mut().zip(logits).zip(targets) {
            let target = (target as usize).checked_sub(first);
            row.add(logits, target.filter(|&target| target < classes));
        }
    }

    fn gradient_rows(
        logits: &mut [f32],
        targets: &[u32],
        log_sum_exp: &[f32],
        first: usize,
        classes: usize,
        weights: Weights,
    ) {
        let Weights { scale, target: target_weight, other } = weights;
        let rows = logits.chunks_exact_mut(classes);
        for ((row, &target), &lse) in rows.zip(targets).zip(log_sum_exp) {
            for logit in row.iter_mut() {
                *logit = scale * (exp(*logit - lse) - other);
            }
            let target = (target as usize).wrapping_sub(first);
            if let Some(logit) = row.get_mut(target) {
                *logit -= scale * (target_weight - other);
            }
        }
    }
}

impl Kernels for Host {
    fn cross_entropy(
        &self,
        hidden: &[f32],
        head: &HostTensor,
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        let head = Self::slice(head);
        let targets = &problem.targets;
        let mut rows = vec![Row::EMPTY; targets.len()];
        let mut buffer = Vec::new();
        for (first, classes) in chunks(problem.vocab_size) {
            let logits = logits(
                &mut buffer,
                hidden,
                head,
                problem,
                first,
                classes,
                self.precision(),
            );
            rows.par_chunks_mut(BLOCK_ROWS)
                .zip(logits.par_chunks(BLOCK_ROWS * classes))
                .zip(targets.par_chunks(BLOCK_ROWS))
                .for_each(|((rows, logits), targets)| {
                    add_rows(rows, logits, targets, first, classes);
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
        head: &HostTensor,
        problem: &Problem,
    ) {
        let head = Self::slice(head);
        let (tokens, width) = (problem.targets.len(), problem.width);
        let (target, other, _) = problem.smoothing.weights(problem.vocab_size);
        let weights = Weights {
            scale: seed[0] * problem.logit_scale / tokens as f32,
            target,
            other,
        };
        let mut buffer = Vec::new();
        for (first, classes) in chunks(problem.vocab_size) {
            let dlogits = logits(
                &mut buffer,
                hidden,
                head,
                problem,
                first,
                classes,
                self.precision(),
            );
            dlogits
                .par_chunks_mut(BLOCK_ROWS * classes)
                .zip(problem.targets.par_chunks(BLOCK_ROWS))
                .zip(log_sum_exp.par_chunks(BLOCK_ROWS))
                .for_each(|((dlogits, targets), lse)| {
                    gradient_rows(dlogits, targets, lse, first, classes, weights);
                });
            let dlogits = Matrix::new(dlogits, tokens, classes);
            if let Some(dhidden) = dhidden.as_deref_mut() {
                let head = Matrix::new(&head[first * width..][..classes * width], classes, width);
                matmul(dhidden, dlogits, head, true, self.precision());
            }
            if let Some(dhead) = dhead.as_deref_mut() {
                let dhead = &mut dhead[first * width..][..classes * width];
                matmul(
                    dhead,
                    dlogits.t(),
                    Matrix::new(hidden, tokens, width),
                    true,
                    self.precision(),
                );
            }
        }
    }
}
