//! What the gradients of weights are computed from: sums over rows, for a group of blocks at once.

use super::super::{Problem, WeightGradients};
use crate::gemm::{Gathered, GatheredBlock, Kept, Packed, Precision, Side, add_gathered};

/// What the gradients of weights are computed from, for the rows of a group of blocks.
pub(super) struct Collected<E> {
    /// The normalised input, `(rows, D)`.
    normed: Gathered<E>,
    /// Gradient of the second projection's output, `(rows, D)`.
    dz: Gathered<E>,
    /// The activations, `(rows, F)`.
    h: Gathered<E>,
    /// Gradients of the first projections' outputs, `(rows, F)`.
    dgate: Option<Gathered<E>>,
    dup: Gathered<E>,
}

/// A block's part of [`Collected`].
pub(super) struct CollectedBlock<'a, E> {
    pub(super) normed: GatheredBlock<'a, E>,
    pub(super) dz: GatheredBlock<'a, E>,
    pub(super) h: GatheredBlock<'a, E>,
    pub(super) dgate: Option<GatheredBlock<'a, E>>,
    pub(super) dup: GatheredBlock<'a, E>,
}

impl<E: Kept> Collected<E> {
    pub(super) fn new(problem: &Problem, gated: bool, precision: Precision) -> Self {
        let Problem { width, hidden, .. } = *problem;
        let [left, right] = [Side::Left, Side::Right]
            .map(|side| move |columns| Gathered::new(side, columns, precision));
        Self {
            normed: right(width),
            dz: left(width),
            h: right(hidden),
            dgate: gated.then(|| left(hidden)),
            dup: left(hidden),
        }
    }

    /// Blocks of so many rows each, in place of those of the last group.
    pub(super) fn blocks(&mut self, rows: &[usize]) -> Vec<CollectedBlock<'_, E>> {
        let dgate = self.dgate.as_mut();
        let mut dgates = dgate.map(|dgate| dgate.blocks(rows).into_iter());
        let narrow = (self.normed.blocks(rows).into_iter()).zip(self.dz.blocks(rows));
        let wide = (self.h.blocks(rows).into_iter()).zip(self.dup.blocks(rows));
        narrow
            .zip(wide)
            .map(|((normed, dz), (h, dup))| CollectedBlock {
                normed,
                dz,
                h,
                dgate: dgates.as_mut().and_then(Iterator::next),
                dup,
            })
            .collect()
    }

    /// Adds the sums over the rows of the blocks.
    ///
    /// # Safety
    /// All values of all blocks were put there.
    pub(super) unsafe fn add_to(&self, gradients: &mut WeightGradients<Vec<f32>>) {
        let mut packed = [Packed::default(), Packed::default()];
        let [normed, h] = &mut packed;
        // SAFETY: as the caller promises.
        unsafe {
            let (normed, h) = (self.normed.right(normed), self.h.right(h));
            if let (Some(gate), Some(dgate)) = (&mut gradients.gate, &self.dgate) {
                add_gathered(&mut gate.0, dgate, normed);
            }
            add_gathered(&mut gradients.up.0, &self.dup, normed);
            add_gathered(&mut gradients.down.0, &self.dz, h);
        }
    }
}
