//! The first look at a gradient: its squares, added up.

pub(super) mod cuda;

use rayon::prelude::*;

pub use cuda::GpuSquares;

use crate::backend::Shape;
use crate::gemm::vectorized;
use crate::ops::parallel::BLOCK_VALUES;

/// Sums of a gradient's squares: one pass over its memory that tells whether it is finite, how long
/// it is, and what Adafactor's second moments are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Squares {
    /// The sum of all; no number if any value of the gradient is none.
    pub total: f64,
    /// The sum of each row, 0 only if all of it is zeros. Empty unless asked for.
    pub rows: Vec<f64>,
    /// The sum of each column. Empty unless asked for.
    pub columns: Vec<f64>,
}

/// Values that loops with a running sum handle side by side: two vector registers' worth, so that
/// additions do not wait for each other.
pub(super) const LANES: usize = 16;

/// Values whose squares are added up in `f32` before the sum goes on in `f64`.
pub(super) const RUN: usize = 1024;

/// Rows of one block of work on a matrix of `columns`: a function of the shape alone, so that sums
/// have the same order on any number of threads.
pub(super) fn block_rows(columns: usize) -> usize {
    (4 * BLOCK_VALUES / columns.max(1)).clamp(16, 256)
}

impl Squares {
    /// The sum over all `values`.
    pub(super) fn of_values(values: &[f32]) -> Self {
        let mut total = square_sum_of_blocks(values);
        if !total.is_finite() {
            total = values.iter().map(|&x| square(x)).sum();
        }
        Self {
            total,
            rows: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The sums over a matrix with its rows and columns.
    pub(super) fn of_matrix(values: &[f32], (rows, columns): Shape) -> Self {
        let mut sums = Self {
            total: 0.0,
            rows: vec![0.0; rows],
            columns: vec![0.0; columns],
        };
        let block = block_rows(columns);
        let shares: Vec<Vec<f32>> = values
            .par_chunks(block * columns)
            .zip(sums.rows.par_chunks_mut(block))
            .map(|(values, rows)| {
                let mut share = vec![0.0; columns];
                add_squares(values, rows, &mut share);
                share
            })
            .collect();
        for share in shares {
            let columns = sums.columns.iter_mut().zip(share);
            columns.for_each(|(column, x)| *column += f64::from(x));
        }
        sums.total = sums.rows.iter().sum();
        if !sums.total.is_finite() {
            sums.add_up_in_f64(values);
        }
        sums
    }

    /// For values whose squares are too large for `f32`, and for those that are no numbers.
    fn add_up_in_f64(&mut self, values: &[f32]) {
        self.columns.fill(0.0);
        let rows = values.chunks_exact(self.columns.len());
        for (row, sum) in rows.zip(&mut self.rows) {
            *sum = row.iter().map(|&x| square(x)).sum();
            let columns = self.columns.iter_mut().zip(row);
            columns.for_each(|(column, &x)| *column += square(x));
        }
        self.total = self.rows.iter().sum();
    }
}

/// The sum of squares; infinite if one of them is too large for `f32`.
pub(super) fn square_sum_of_blocks(values: &[f32]) -> f64 {
    let shares: Vec<f64> = values.par_chunks(BLOCK_VALUES).map(square_sum).collect();
    shares.iter().sum()
}

fn square(x: f32) -> f64 {
    f64::from(x) * f64::from(x)
}

vectorized! {
    /// The sum of squares on the calling thread.
    pub(super) fn square_sum(values: &[f32]) -> f64 {
        let mut total = 0.0;
        for run in values.chunks(RUN) {
            let (chunks, rest) = run.as_chunks::<LANES>();
            let mut lanes = [0.0f32; LANES];
            for (lane, x) in lanes.iter_mut().zip(rest) {
                *lane = x * x;
            }
            for x in chunks {
                for lane in 0..LANES {
                    lanes[lane] += x[lane] * x[lane];
                }
            }
            total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        total
    }

    /// Each row's sum of squares goes to `rows`, each column's is added to `columns`.
    fn add_squares(values: &[f32], rows: &mut [f64], columns: &mut [f32]) {
        let (columns, last_columns) = columns.as_chunks_mut::<LANES>();
        let width = columns.len() * LANES + last_columns.len();
        for (row, sum) in values.chunks_exact(width).zip(rows) {
            let (chunks, rest) = row.as_chunks::<LANES>();
            let mut lanes = [0.0f32; LANES];
            for ((lane, x), column) in lanes.iter_mut().zip(rest).zip(last_columns.iter_mut()) {
                *lane = x * x;
                *column += x * x;
            }
            for (x, column) in chunks.iter().zip(columns.iter_mut()) {
                for lane in 0..LANES {
                    let square = x[lane] * x[lane];
                    lanes[lane] += square;
                    column[lane] += square;
                }
            }
            *sum = lanes.iter().map(|&x| f64::from(x)).sum();
            // Squares may vanish where values do not.
            if *sum == 0.0 && row.iter().any(|&x| x != 0.0) {
                *sum = f64::MIN_POSITIVE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919) % 1009) as f32 / 500.0 - 1.0;
        (0..len).map(number).collect()
    }

    #[test]
    fn sums_are_those_of_an_f64_loop() {
        for (rows, columns) in [(1, 1), (3, 5), (40, 16), (300, 70), (600, 33), (2, 5000)] {
            let values = numbers(rows * columns);
            let matrix = Squares::of_matrix(&values, (rows, columns));
            let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-6 * b, "{a} and {b}");
            let all: f64 = values.iter().map(|&x| square(x)).sum();
            close(matrix.total, all);
            close(Squares::of_values(&values).total, all);
            for (row, &sum) in values.chunks_exact(columns).zip(&matrix.rows) {
                close(sum, row.iter().map(|&x| square(x)).sum());
            }
            for (j, &sum) in matrix.columns.iter().enumerate() {
                let column = values.iter().skip(j).step_by(columns);
                close(sum, column.map(|&x| square(x)).sum());
            }
        }
    }

    #[test]
    fn what_is_no_number_shows_and_what_is_only_large_does_not() {
        for place in [0, 77, 20_000, 39_999] {
            let mut values = numbers(40_000);
            for (value, finite) in [(f32::NAN, false), (f32::INFINITY, false), (3e38, true)] {
                values[place] = value;
                let matrix = Squares::of_matrix(&values, (400, 100));
                let flat = Squares::of_values(&values);
                for total in [matrix.total, flat.total, matrix.columns[place % 100]] {
                    assert_eq!(total.is_finite(), finite, "{value} at {place}");
                }
            }
        }
    }

    #[test]
    fn only_rows_of_zeros_have_a_sum_of_zero() {
        let values = [0.0, -0.0, 1e-30, 0.0, 2.0, 0.0];
        let sums = Squares::of_matrix(&values, (3, 2));
        assert_eq!(sums.rows, [0.0, f64::MIN_POSITIVE, 4.0]);
    }
}
