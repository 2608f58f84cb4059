//! What the gradients of weights are computed from: sums over the rows of all groups.

use half::bf16;

use super::{Group, PRECISION};
use crate::gemm::{Gathered, GatheredBlock, Packed, Side, add_gathered};
use crate::ops::self_attention::WeightGradients;

/// What the gradients of weights are computed from.
pub(super) struct Collected {
    /// The normalised input, `(T, D)`.
    normed: Gathered<bf16>,
    /// The gradient of the output, with dropout if there is any, `(T, D)`.
    dz: Gathered<bf16>,
    /// `(T, H * d_kv)`.
    attended: Gathered<bf16>,
    /// Gradients of queries, keys and values.
    dqkv: [Gathered<bf16>; 3],
}

/// A group's rows of [`Collected`].
pub(super) struct CollectedGroup<'a> {
    pub(super) normed: GatheredBlock<'a, bf16>,
    pub(super) dz: GatheredBlock<'a, bf16>,
    pub(super) attended: GatheredBlock<'a, bf16>,
    pub(super) dqkv: [GatheredBlock<'a, bf16>; 3],
}

impl Collected {
    /// For `width` columns of the input, and `features` of queries, keys and values.
    pub(super) fn new(width: usize, features: [usize; 3]) -> Self {
        let left = |columns| Gathered::new(Side::Left, columns, PRECISION);
        let right = |columns| Gathered::new(Side::Right, columns, PRECISION);
        Self {
            normed: right(width),
            dz: left(width),
            attended: right(features[0]),
            dqkv: features.map(left),
        }
    }

    pub(super) fn groups(&mut self, groups: &[Group]) -> Vec<CollectedGroup<'_>> {
        let rows: Vec<usize> = groups.iter().map(|group| group.rows.len()).collect();
        let mut dqkv = (self.dqkv.each_mut()).map(|all| all.blocks(&rows).into_iter());
        (self.normed.blocks(&rows).into_iter())
            .zip(self.dz.blocks(&rows))
            .zip(self.attended.blocks(&rows))
            .map_while(|((normed, dz), attended)| {
                let [dq, dk, dv] = dqkv.each_mut().map(Iterator::next);
                Some(CollectedGroup {
                    normed,
                    dz,
                    attended,
                    dqkv: [dq?, dk?, dv?],
                })
            })
            .collect()
    }

    /// Adds the sums over all rows.
    ///
    /// # Safety
    /// All values of all groups were put there.
    pub(super) unsafe fn add_to(&self, gradients: &mut WeightGradients<Vec<f32>>) {
        let mut packed = [Packed::default(), Packed::default()];
        let [normed, attended] = &mut packed;
        // SAFETY: as the caller promises.
        unsafe {
            let (normed, attended) = (self.normed.right(normed), self.attended.right(attended));
            for (dw, dy) in gradients.qkv.iter_mut().zip(&self.dqkv) {
                add_gathered(&mut dw.0, dy, normed);
            }
            add_gathered(&mut gradients.o.0, &self.dz, attended);
        }
    }
}
