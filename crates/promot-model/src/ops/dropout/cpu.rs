//! Masks on the CPU.

use super::{DropoutKey, Kernels, Mask};
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::for_value_blocks;

vectorized! {
    fn drop_block(y: &mut [f32], x: &[f32], mask: Mask) {
        for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
            *y = x * mask.factor(i as u32);
        }
    }

    fn drop_dx_block(dx: &mut [f32], dy: &[f32], mask: Mask) {
        for (i, (dx, dy)) in dx.iter_mut().zip(dy).enumerate() {
            *dx += dy * mask.factor(i as u32);
        }
    }
}

vectorized! {
    /// Dropout of rows of some columns within a wider matrix: a mask for each row, whose positions
    /// are the matrix's columns.
    pub(in crate::ops) fn drop_rows(
        values: &mut [f32],
        columns: usize,
        first_row: usize,
        first_column: usize,
        key: DropoutKey,
    ) {
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            let mask = key.at((first_row + row) as u64).mask();
            for (column, value) in values.iter_mut().enumerate() {
                *value *= mask.factor((first_column + column) as u32);
            }
        }
    }

    /// `y += dropout(x)` with the masks of [`drop_rows`].
    pub(in crate::ops) fn add_dropped_rows(
        y: &mut [f32],
        x: &[f32],
        columns: usize,
        first_row: usize,
        key: DropoutKey,
    ) {
        let rows = y.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
        for (row, (y, x)) in rows.enumerate() {
            let mask = key.at((first_row + row) as u64).mask();
            for (column, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y += x * mask.factor(column as u32);
            }
        }
    }
}

// Each block of values has a mask of its own, so that positions fit in 32 bits.
impl Kernels for Host {
    fn dropout(&self, x: &[f32], key: DropoutKey) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        for_value_blocks(&mut y, |first, y| {
            drop_block(y, &x[first..], key.at(first as u64).mask());
        });
        y
    }

    fn dropout_dx(&self, dx: &mut [f32], dy: &[f32], key: DropoutKey) {
        for_value_blocks(dx, |first, dx| {
            drop_dx_block(dx, &dy[first..], key.at(first as u64).mask());
        });
    }

    fn row_dropout(&self, x: &[f32], columns: usize, key: DropoutKey) -> Vec<f32> {
        let mask = key.mask();
        let rows = x.chunks_exact(columns.max(1)).enumerate();
        rows.flat_map(|(row, values)| {
            let factor = mask.factor(row as u32);
            values.iter().map(move |value| value * factor)
        })
        .collect()
    }
}
