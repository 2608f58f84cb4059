//! Masks on the CPU.

use super::{DropoutKey, Kernels};
use crate::backend::Host;
use crate::ops::parallel::for_value_blocks;

impl Kernels for Host {
    fn dropout(&self, x: &[f32], key: DropoutKey) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        for_value_blocks(&mut y, |first, y| {
            let x = &x[first..][..y.len()];
            for i in 0..y.len() {
                y[i] = x[i] * key.factor((first + i) as u64);
            }
        });
        y
    }

    fn dropout_dx(&self, dx: &mut [f32], dy: &[f32], key: DropoutKey) {
        for_value_blocks(dx, |first, dx| {
            let dy = &dy[first..][..dx.len()];
            for i in 0..dx.len() {
                dx[i] += dy[i] * key.factor((first + i) as u64);
            }
        });
    }
}
