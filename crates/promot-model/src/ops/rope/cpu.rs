//! Rotations on the CPU, rows by blocks.

use super::{Kernels, Sizes};
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::{BLOCK_ROWS, changed_copy};

vectorized! {
    /// Turns rows in place; `direction` is 1, or -1 to turn back.
    fn turn_rows(rows: &mut [f32], angles: &[f32], width: usize, d_head: usize, direction: f32) {
        let half = d_head / 2;
        for (row, angles) in rows.chunks_exact_mut(width).zip(angles.chunks_exact(d_head)) {
            let (cosines, sines) = angles.split_at(half);
            for head in row.chunks_exact_mut(d_head) {
                let (first, second) = head.split_at_mut(half);
                for i in 0..half {
                    let (a, b) = (first[i], second[i]);
                    let (cosine, sine) = (cosines[i], direction * sines[i]);
                    first[i] = a * cosine - b * sine;
                    second[i] = b * cosine + a * sine;
                }
            }
        }
    }
}

impl Kernels for Host {
    fn rope(&self, x: &[f32], angles: &[f32], sizes: Sizes, back: bool) -> Vec<f32> {
        let Sizes { width, d_head } = sizes;
        let direction = if back { -1.0 } else { 1.0 };
        let turn = |first: usize, rows: &mut [f32]| {
            let angles = &angles[first / width * d_head..];
            turn_rows(rows, angles, width, d_head, direction);
        };
        changed_copy(x, BLOCK_ROWS * width, turn).0
    }
}
