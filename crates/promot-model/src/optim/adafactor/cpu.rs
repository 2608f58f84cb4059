//! Adafactor's loops over a block of rows or values.

use crate::gemm::vectorized;
use crate::optim::squares::{LANES, RUN};

vectorized! {
    /// The sum of the squared updates `g * row_factor * column_factor` of a block of rows.
    ///
    /// Rows with a factor of 0 are not read.
    pub(super) fn factored_square_sum(
        gradient: &[f32],
        row_factors: &[f32],
        column_factors: &[f32],
    ) -> f64 {
        let mut total = 0.0;
        let (columns, last_columns) = column_factors.as_chunks::<LANES>();
        for (row, &factor) in gradient.chunks_exact(column_factors.len()).zip(row_factors) {
            if factor == 0.0 {
                continue;
            }
            let (chunks, rest) = row.as_chunks::<LANES>();
            let mut lanes = [0.0f32; LANES];
            for ((lane, g), column) in lanes.iter_mut().zip(rest).zip(last_columns) {
                let update = g * factor * column;
                *lane = update * update;
            }
            for (g, column) in chunks.iter().zip(columns) {
                for lane in 0..LANES {
                    let update = g[lane] * factor * column[lane];
                    lanes[lane] += update * update;
                }
            }
            total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        total
    }

    /// `value - rate * g * row_factor * column_factor`, in place of `g`.
    ///
    /// Rows with a factor of 0 keep their values.
    pub(super) fn factored_values(
        gradient: &mut [f32],
        values: &[f32],
        row_factors: &[f32],
        column_factors: &[f32],
        rate: f32,
    ) {
        let width = column_factors.len();
        let rows = gradient.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((row, values), &factor) in rows.zip(row_factors) {
            if factor == 0.0 {
                row.copy_from_slice(values);
                continue;
            }
            for ((g, value), column) in row.iter_mut().zip(values).zip(column_factors) {
                *g = value - rate * (*g * factor * column);
            }
        }
    }

    /// Moves second moments towards `(scale * g)^2 + epsilon`; returns the sum of the squared
    /// updates `scale * g / sqrt(moment)`.
    pub(super) fn decay_moments(
        moments: &mut [f32],
        gradient: &[f32],
        scale: f32,
        beta: f32,
        epsilon: f32,
    ) -> f64 {
        let mut total = 0.0;
        for (moments, gradient) in moments.chunks_mut(RUN).zip(gradient.chunks(RUN)) {
            let mut lanes = [0.0f32; LANES];
            for (moments, gradient) in moments.chunks_mut(LANES).zip(gradient.chunks(LANES)) {
                for ((lane, moment), g) in lanes.iter_mut().zip(moments).zip(gradient) {
                    let g = scale * g;
                    *moment = beta * *moment + (1.0 - beta) * (g * g + epsilon);
                    let update = g / moment.sqrt();
                    *lane += update * update;
                }
            }
            total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        total
    }

    /// `value - rate * scale * g / sqrt(moment)`, in place of `g`.
    pub(super) fn unfactored_values(
        gradient: &mut [f32],
        values: &[f32],
        moments: &[f32],
        scale: f32,
        rate: f32,
    ) {
        for ((g, value), moment) in gradient.iter_mut().zip(values).zip(moments) {
            *g = value - rate * (scale * *g / moment.sqrt());
        }
    }
}
