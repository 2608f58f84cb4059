//! Products with a number on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::{BLOCK_VALUES, changed_copy};

vectorized! {
    /// `x *= factor` on the calling thread.
    pub(in crate::ops) fn scale_values(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}

impl Kernels for Host {
    fn scale(&self, x: &[f32], factor: f32) -> Vec<f32> {
        changed_copy(x, BLOCK_VALUES, |_, y| scale_values(y, factor)).0
    }
}
