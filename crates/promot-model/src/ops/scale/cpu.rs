//! Products with a number on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::parallel::{for_value_blocks, par_copy, vectorized};

vectorized! {
    fn scale_block(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}

impl Kernels for Host {
    fn scale(&self, x: &[f32], factor: f32) -> Vec<f32> {
        let mut y = par_copy(x);
        for_value_blocks(&mut y, |_, y| scale_block(y, factor));
        y
    }
}
