//! Sums on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::parallel::for_value_blocks;

impl Kernels for Host {
    fn add(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; a.len()];
        for_value_blocks(&mut y, |first, y| {
            let (a, b) = (&a[first..][..y.len()], &b[first..][..y.len()]);
            for i in 0..y.len() {
                y[i] = a[i] + b[i];
            }
        });
        y
    }

    fn add_assign(&self, total: &mut [f32], x: &[f32]) {
        for_value_blocks(total, |first, total| {
            let x = &x[first..][..total.len()];
            for i in 0..total.len() {
                total[i] += x[i];
            }
        });
    }
}
