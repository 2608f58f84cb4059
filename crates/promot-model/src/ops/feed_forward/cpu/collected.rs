//! What the gradients of weights are computed from: sums over rows, for a group of blocks at once.

use super::super::{Problem, WeightGradients};
use crate::gemm::{Matrix, Packed, Precision, Right, add_product};
use crate::ops::kept::Kept;

/// What the gradients of weights are computed from, for the rows of a group of blocks.
#[derive(Default)]
pub(super) struct Collected<E> {
    /// The normalised input, `(rows, D)`.
    normed: Vec<E>,
    /// Gradient of the second projection's output, `(rows, D)`.
    dz: Vec<E>,
    /// The activations, `(rows, F)`.
    h: Vec<E>,
    /// Gradients of the first projections' outputs, `(rows, F)`.
    dgate: Vec<E>,
    dup: Vec<E>,
}

/// A block's part of [`Collected`].
pub(super) struct CollectedBlock<'a, E> {
    pub(super) normed: &'a mut [E],
    pub(super) dz: &'a mut [E],
    pub(super) h: &'a mut [E],
    pub(super) dgate: &'a mut [E],
    pub(super) dup: &'a mut [E],
}

impl<E: Kept> Collected<E> {
    pub(super) fn new(rows: usize, problem: &Problem, gated: bool) -> Self {
        let zeros = |len: usize| vec![E::default(); len];
        Self {
            normed: zeros(rows * problem.width),
            dz: zeros(rows * problem.width),
            h: zeros(rows * problem.hidden),
            dgate: zeros(if gated { rows * problem.hidden } else { 0 }),
            dup: zeros(rows * problem.hidden),
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
    pub(super) fn add_to(
        &self,
        gradients: &mut WeightGradients<Vec<f32>>,
        rows: usize,
        problem: &Problem,
        precision: Precision,
    ) {
        let Problem { width, hidden, .. } = *problem;
        let mut packed = Packed::default();
        let normed = packed.par_pack_b(rows_of(&self.normed, rows, width), precision);
        if let Some(gate) = &mut gradients.gate {
            let dgate = rows_of(&self.dgate, rows, hidden).t();
            add_product(&mut gate.0, dgate, Right::from(normed), precision);
        }
        let dup = rows_of(&self.dup, rows, hidden).t();
        add_product(&mut gradients.up.0, dup, Right::from(normed), precision);
        let dz = rows_of(&self.dz, rows, width).t();
        let h = rows_of(&self.h, rows, hidden);
        add_product(&mut gradients.down.0, dz, h, precision);
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

fn rows_of<E: Kept>(values: &[E], rows: usize, columns: usize) -> Matrix<'_, E> {
    Matrix::new(&values[..rows * columns], rows, columns)
}
