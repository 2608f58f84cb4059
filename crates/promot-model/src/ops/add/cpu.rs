//! Sums on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::for_value_blocks;

vectorized! {
    fn add_block(y: &mut [f32], a: &[f32], b: &[f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }

    fn add_assign_block(total: &mut [f32], x: &[f32]) {
        for (total, x) in total.iter_mut().zip(x) {
            *total += x;
        }
    }
}

impl Kernels for Host {
    fn add(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; a.len()];
        for_value_blocks(&mut y, |first, y| add_block(y, &a[first..], &b[first..]));
        y
    }

    fn add_assign(&self, total: &mut [f32], x: &[f32]) {
        for_value_blocks(total, |first, total| add_assign_block(total, &x[first..]));
    }
}
