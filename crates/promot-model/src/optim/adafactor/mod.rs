//! Adafactor (Shazeer & Stern 2018) with the semantics of T5X.

use serde::{Deserialize, Serialize};

use super::{ParameterState, Update};
use crate::backend::Shape;

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

/// Added to squared gradients.
const EPSILON1: f64 = 1e-30;
/// The least parameter scale.
const EPSILON2: f64 = 1e-3;

/// New values of a parameter; `step` counts from 1.
pub(super) fn update(
    options: &AdafactorOptions,
    update: &Update<'_, [f32]>,
    state: &mut ParameterState,
) -> Vec<f32> {
    let Update {
        values,
        gradient,
        shape,
        learning_rate,
        step,
    } = *update;
    let (rows, columns) = shape;
    let beta = (1.0 - (step as f64).powf(-f64::from(options.decay_rate))) as f32;
    let factored = options.factored && rows.min(columns) >= options.min_dim_size_to_factor;
    let mut update: Vec<f32> = if factored {
        if state.vectors.is_empty() {
            state.vectors = vec![vec![0.0; rows], vec![0.0; columns]];
        }
        let (row_means, column_means) = square_means(gradient, shape);
        decay_towards(&mut state.vectors[0], &row_means, beta);
        decay_towards(&mut state.vectors[1], &column_means, beta);
        let row_mean = mean(&state.vectors[0]);
        let row_factors: Vec<f32> = state.vectors[0]
            .iter()
            .map(|&v| ((f64::from(v) / row_mean).powf(-0.5)) as f32)
            .collect();
        let column_factors: Vec<f32> = state.vectors[1]
            .iter()
            .map(|&v| (f64::from(v).powf(-0.5)) as f32)
            .collect();
        let scaled_rows = gradient.chunks_exact(columns).zip(&row_factors);
        scaled_rows
            .flat_map(|(row, &factor)| {
                row.iter()
                    .zip(&column_factors)
                    .map(move |(&g, &column)| g * factor * column)
            })
            .collect()
    } else {
        if state.vectors.is_empty() {
            state.vectors = vec![vec![0.0; values.len()]];
        }
        let moments = &mut state.vectors[0];
        for (moment, &g) in moments.iter_mut().zip(gradient) {
            *moment = beta * *moment + (1.0 - beta) * (g * g + EPSILON1 as f32);
        }
        gradient
            .iter()
            .zip(moments.iter())
            .map(|(&g, &v)| g / v.sqrt())
            .collect()
    };

    let clip = (root_mean_square(&update) / f64::from(options.clipping_threshold)).max(1.0);
    let scale = if options.multiply_by_parameter_scale {
        root_mean_square(values).max(EPSILON2)
    } else {
        1.0
    };
    let factor = (f64::from(learning_rate) * scale / clip) as f32;
    for (update, &value) in update.iter_mut().zip(values) {
        *update = value - factor * *update;
    }
    update
}

/// Means of squared gradients over columns (one a row) and over rows (one a column).
fn square_means(gradient: &[f32], (rows, columns): Shape) -> (Vec<f32>, Vec<f32>) {
    let mut row_means = Vec::with_capacity(rows);
    let mut column_sums = vec![0.0f64; columns];
    for row in gradient.chunks_exact(columns) {
        let mut sum = 0.0;
        for (column, &g) in column_sums.iter_mut().zip(row) {
            let square = f64::from(g) * f64::from(g) + EPSILON1;
            *column += square;
            sum += square;
        }
        row_means.push((sum / columns as f64) as f32);
    }
    let column_means = column_sums
        .into_iter()
        .map(|sum| (sum / rows as f64) as f32)
        .collect();
    (row_means, column_means)
}

fn decay_towards(average: &mut [f32], new: &[f32], beta: f32) {
    for (average, &new) in average.iter_mut().zip(new) {
        *average = beta * *average + (1.0 - beta) * new;
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

fn root_mean_square(values: &[f32]) -> f64 {
    let squares: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    (squares / values.len() as f64).sqrt()
}
