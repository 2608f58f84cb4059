//! Adafactor (Shazeer & Stern 2018) with the semantics of T5X.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::squares::{block_rows, square_sum, square_sum_of_blocks};
use super::{ParameterState, Squares, Step, Update};
use crate::backend::{Host, Shape};
use crate::ops::parallel::BLOCK_VALUES;

mod cpu;
pub(super) mod cuda;
#[cfg(test)]
mod tests;

/// Constants of Adafactor; the defaults are T5X's (`t5x.adafactor.Adafactor`) with a given
/// learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdafactorOptions {
    /// Second moments decay by `1 - t^-decay_rate`.
    pub decay_rate: f32,
    /// The update's root mean square is at most this.
    pub clipping_threshold: f32,
    /// Multiply the learning rate by the parameter's root mean square (at least `1e-3`). T5X does
    /// for model weights; soft prompts are tuned without.
    pub multiply_by_parameter_scale: bool,
    /// Whether second moments of matrices are kept as row and column means; prompts keep them all.
    pub factored: bool,
    /// Matrices with a smaller dimension than this keep all second moments.
    pub min_dim_size_to_factor: usize,
}

impl Default for AdafactorOptions {
    fn default() -> Self {
        Self {
            decay_rate: 0.8,
            clipping_threshold: 1.0,
            multiply_by_parameter_scale: true,
            factored: true,
            min_dim_size_to_factor: 128,
        }
    }
}

impl AdafactorOptions {
    /// Whether the second moments of a parameter are kept as row and column means.
    pub fn factors(&self, (rows, columns): Shape) -> bool {
        self.factored && rows.min(columns) >= self.min_dim_size_to_factor
    }

    /// What is left of second moments in a step.
    fn beta(&self, step: Step) -> f32 {
        (1.0 - (step.number as f64).powf(-f64::from(self.decay_rate))) as f32
    }

    /// The learning rate of what is left when updates are divided by their second moments:
    /// relative to the parameter, and less if the updates are long.
    fn rate(&self, learning_rate: f32, update_squares: f64, value_squares: f64, len: usize) -> f32 {
        let root_mean = |squares: f64| (squares / len as f64).sqrt();
        let clip = (root_mean(update_squares) / f64::from(self.clipping_threshold)).max(1.0);
        let scale = if self.multiply_by_parameter_scale {
            root_mean(value_squares).max(EPSILON2)
        } else {
            1.0
        };
        (f64::from(learning_rate) * scale / clip) as f32
    }
}

/// Added to squared gradients.
const EPSILON1: f64 = 1e-30;
/// The least parameter scale.
const EPSILON2: f64 = 1e-3;

/// New values of a parameter, in the gradient's memory.
pub(super) fn update(
    options: &AdafactorOptions,
    step: Step,
    update: Update<'_, Host>,
    state: &mut ParameterState,
) -> Vec<f32> {
    let beta = options.beta(step);
    if options.factors(update.shape) {
        factored(options, step, update, state, beta)
    } else {
        unfactored(options, step, update, state, beta)
    }
}

/// Two passes: one for how long the update is, one that writes. Making it in the first would cost
/// more than making it twice, because memory is what both wait for.
fn factored(
    options: &AdafactorOptions,
    step: Step,
    update: Update<'_, Host>,
    state: &mut ParameterState,
    beta: f32,
) -> Vec<f32> {
    let Update {
        values,
        mut gradient,
        squares,
        shape: (rows, columns),
    } = update;
    let scale = step.scale;
    if state.vectors.is_empty() {
        state.vectors = vec![vec![0.0; rows], vec![0.0; columns]];
    }
    decay_towards_means(&mut state.vectors[0], &squares.rows, columns, scale, beta);
    decay_towards_means(&mut state.vectors[1], &squares.columns, rows, scale, beta);
    let (row_factors, column_factors) = factors(state, squares, scale);

    let block_rows = block_rows(columns);
    let block = block_rows * columns;
    let shares: Vec<(f64, f64)> = gradient
        .par_chunks(block)
        .zip(values.par_chunks(block))
        .zip(row_factors.par_chunks(block_rows))
        .map(|((gradient, values), row_factors)| {
            let of_values = if options.multiply_by_parameter_scale {
                square_sum(values)
            } else {
                0.0
            };
            let of_update = cpu::factored_square_sum(gradient, row_factors, &column_factors);
            (of_update, of_values)
        })
        .collect();
    let update_squares = shares.iter().map(|(of_update, _)| of_update).sum();
    let value_squares = shares.iter().map(|(_, of_values)| of_values).sum();
    let rate = options.rate(
        step.learning_rate,
        update_squares,
        value_squares,
        values.len(),
    );
    gradient
        .par_chunks_mut(block)
        .zip(values.par_chunks(block))
        .zip(row_factors.par_chunks(block_rows))
        .for_each(|((gradient, values), row_factors)| {
            cpu::factored_values(gradient, values, row_factors, &column_factors, rate);
        });
    gradient
}

/// Moves averages towards the means of scaled squares, whose sums over `len` values these are.
fn decay_towards_means(averages: &mut [f32], sums: &[f64], len: usize, scale: f32, beta: f32) {
    let factor = f64::from(scale) * f64::from(scale) / len as f64;
    for (average, &sum) in averages.iter_mut().zip(sums) {
        let mean = (sum * factor + EPSILON1) as f32;
        *average = beta * *average + (1.0 - beta) * mean;
    }
}

/// What the values of each row and of each column of a gradient are multiplied by. 0 for rows of
/// zeros, such as those of tokens that were not in the batch.
fn factors(state: &ParameterState, squares: &Squares, scale: f32) -> (Vec<f32>, Vec<f32>) {
    let [rows, columns] = state.vectors.as_slice() else {
        panic!("row and column means");
    };
    let mean = rows.iter().map(|&v| f64::from(v)).sum::<f64>() / rows.len() as f64;
    let row_factor = |(&v, &sum): (&f32, &f64)| {
        if sum == 0.0 {
            0.0
        } else {
            (f64::from(scale) / (f64::from(v) / mean).sqrt()) as f32
        }
    };
    let column_factor = |&v: &f32| (1.0 / f64::from(v).sqrt()) as f32;
    (
        rows.iter().zip(&squares.rows).map(row_factor).collect(),
        columns.iter().map(column_factor).collect(),
    )
}

/// With a second moment for each value.
fn unfactored(
    options: &AdafactorOptions,
    step: Step,
    update: Update<'_, Host>,
    state: &mut ParameterState,
    beta: f32,
) -> Vec<f32> {
    let Update {
        values,
        mut gradient,
        ..
    } = update;
    let scale = step.scale;
    if state.vectors.is_empty() {
        state.vectors = vec![vec![0.0; values.len()]];
    }
    let moments = &mut state.vectors[0];
    let shares: Vec<f64> = moments
        .par_chunks_mut(BLOCK_VALUES)
        .zip(gradient.par_chunks(BLOCK_VALUES))
        .map(|(moments, gradient)| {
            cpu::decay_moments(moments, gradient, scale, beta, EPSILON1 as f32)
        })
        .collect();
    let value_squares = if options.multiply_by_parameter_scale {
        square_sum_of_blocks(values)
    } else {
        0.0
    };
    let update_squares = shares.iter().sum();
    let rate = options.rate(
        step.learning_rate,
        update_squares,
        value_squares,
        values.len(),
    );
    gradient
        .par_chunks_mut(BLOCK_VALUES)
        .zip(values.par_chunks(BLOCK_VALUES))
        .zip(moments.par_chunks(BLOCK_VALUES))
        .for_each(|((gradient, values), moments)| {
            cpu::unfactored_values(gradient, values, moments, scale, rate);
        });
    gradient
}
