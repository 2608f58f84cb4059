//! Rectification on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::parallel::for_value_blocks;

impl Kernels for Host {
    fn relu(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        for_value_blocks(&mut y, |first, y| {
            let x = &x[first..][..y.len()];
            for i in 0..y.len() {
                y[i] = x[i].max(0.0);
            }
        });
        y
    }

    fn relu_dx(&self, dx: &mut [f32], dy: &[f32], y: &[f32]) {
        for_value_blocks(dx, |first, dx| {
            let (dy, y) = (&dy[first..][..dx.len()], &y[first..][..dx.len()]);
            for i in 0..dx.len() {
                dx[i] += if y[i] > 0.0 { dy[i] } else { 0.0 };
            }
        });
    }
}
