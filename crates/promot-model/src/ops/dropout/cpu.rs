//! Masks on the CPU.

use super::{DropoutKey, Kernels, Mask};
use crate::backend::Host;
use crate::ops::parallel::{for_value_blocks, vectorized};

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
}
