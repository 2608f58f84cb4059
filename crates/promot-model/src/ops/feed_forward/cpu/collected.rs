//! What the gradients of weights are computed from: sums over rows, for a group of blocks at once.

use std::mem::MaybeUninit;

use super::super::{Problem, WeightGradients};
use crate::gemm::{Matrix, Packed, Precision, Right, add_product};
use crate::ops::kept::{Kept, unfilled};

/// What the gradients of weights are computed from, for the rows of a group of blocks.
pub(super) struct Collected<E> {
    /// The normalised input, `(rows, D)`.
    normed: Vec<MaybeUninit<E>>,
    /// Gradient of the second projection's output, `(rows, D)`.
    dz: Vec<MaybeUninit<E>>,
    /// The activations, `(rows, F)`.
    h: Vec<MaybeUninit<E>>,
    /// Gradients of the first projections' outputs, `(rows, F)`.
    dgate: Vec<MaybeUninit<E>>,
    dup: Vec<MaybeUninit<E>>,
}

/// A block's part of [`Collected`].
pub(super) struct CollectedBlock<'a, E> {
    pub(super) normed: &'a mut [MaybeUninit<E>],
    pub(super) dz: &'a mut [MaybeUninit<E>],
    pub(super) h: &'a mut [MaybeUninit<E>],
    pub(super) dgate: &'a mut [MaybeUninit<E>],
    pub(super) dup: &'a mut [MaybeUninit<E>],
}

impl<E: Kept> Collected<E> {
    pub(super) fn new(rows: usize, problem: &Problem, gated: bool) -> Self {
        Self {
            normed: unfilled(rows * problem.width),
            dz: unfilled(rows * problem.width),
            h: unfilled(rows * problem.hidden),
            dgate: unfilled(if gated { rows * problem.hidden } else { 0 }),
            dup: unfilled(rows * problem.hidden),
        }
    }

    pub(super) fn blocks(&mut self, rows: usize, problem: &Problem) -> Vec<CollectedBlock<'_, E>> {
        let Problem { width, hidden, .. } = *problem;
        let mut gates = self.dgate.chunks_mut(rows * hidden);
        let narrow = self.normed.chunks_mut(rows * width);
        let narrow = narrow.zip(self.dz.chunks_mut(rows * width));
        let wide = self.h.chunks_mut(rows * hidden);
        let wide = wide.zip(self.dup.chunks_mut(rows * hidden));
        narrow
            .zip(wide)
            .map(|((normed, dz), (h, dup))| CollectedBlock {
                normed,
                dz,
                h,
                dgate: gates.next().unwrap_or_default(),
                dup,
            })
            .collect()
    }

    /// Adds the sums over the first `rows` rows.
    ///
    /// # Safety
    /// Blocks with these rows were filled.
    pub(super) unsafe fn add_to(
        &self,
        gradients: &mut WeightGradients<Vec<f32>>,
        rows: usize,
        problem: &Problem,
        precision: Precision,
    ) {
        let Problem { width, hidden, .. } = *problem;
        let rows_of = |values, columns| {
            // SAFETY: the rows were filled (the caller's promise).
            unsafe { filled_rows(values, rows, columns) }
        };
        let [normed, dz] = [&self.normed, &self.dz].map(|x| rows_of(x, width));
        let [h, dup] = [&self.h, &self.dup].map(|x| rows_of(x, hidden));
        let mut packed = Packed::default();
        let normed = packed.par_pack_b(normed, precision);
        if let Some(gate) = &mut gradients.gate {
            let dgate = rows_of(&self.dgate, hidden);
            add_product(&mut gate.0, dgate.t(), Right::from(normed), precision);
        }
        add_product(&mut gradients.up.0, dup.t(), Right::from(normed), precision);
        add_product(&mut gradients.down.0, dz.t(), h, precision);
    }
}

impl<'a, E> CollectedBlock<'a, E> {
    /// The last block may have fewer rows.
    pub(super) fn first_rows(self, rows: usize, problem: &Problem) -> Self {
        let (narrow, wide) = (rows * problem.width, rows * problem.hidden);
        Self {
            normed: &mut self.normed[..narrow],
            dz: &mut self.dz[..narrow],
            h: &mut self.h[..wide],
            dgate: if self.dgate.is_empty() {
                self.dgate
            } else {
                &mut self.dgate[..wide]
            },
            dup: &mut self.dup[..wide],
        }
    }
}

/// # Safety
/// The rows were filled.
unsafe fn filled_rows<E: Kept>(
    values: &[MaybeUninit<E>],
    rows: usize,
    columns: usize,
) -> Matrix<'_, E> {
    // SAFETY: as the caller promises.
    let values = unsafe { values[..rows * columns].assume_init_ref() };
    Matrix::new(values, rows, columns)
}
