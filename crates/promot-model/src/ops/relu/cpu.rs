//! Rectification on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::parallel::{for_value_blocks, vectorized};

vectorized! {
    fn relu_block(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x.max(0.0);
        }
    }

    fn relu_dx_block(dx: &mut [f32], dy: &[f32], y: &[f32]) {
        for ((dx, dy), y) in dx.iter_mut().zip(dy).zip(y) {
            *dx += if *y > 0.0 { *dy } else { 0.0 };
        }
    }
}

impl Kernels for Host {
    fn relu(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        for_value_blocks(&mut y, |first, y| relu_block(y, &x[first..]));
        y
    }

    fn relu_dx(&self, dx: &mut [f32], dy: &[f32], y: &[f32]) {
        for_value_blocks(dx, |first, dx| relu_dx_block(dx, &dy[first..], &y[first..]));
    }
}
