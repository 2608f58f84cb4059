//! Gated GELU on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::math::sigmoid;
use crate::ops::parallel::{for_value_block_pairs, for_value_blocks, vectorized};

/// 2 sqrt(2 / pi)
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

/// How much of `x` GELU lets through: `(1 + tanh(u)) / 2 = sigmoid(2 u)`.
#[inline(always)]
fn gelu_share(x: f32) -> f32 {
    sigmoid(SLOPE * (x + CUBIC * x * x * x))
}

/// The derivative of GELU where it lets `share` through.
#[inline(always)]
fn gelu_derivative(x: f32, share: f32) -> f32 {
    share + x * share * (1.0 - share) * SLOPE * (1.0 + 3.0 * CUBIC * x * x)
}

vectorized! {
    fn forward(y: &mut [f32], gate: &[f32], up: &[f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate * gelu_share(*gate) * up;
        }
    }

    fn backward(dgate: &mut [f32], dup: &mut [f32], dy: &[f32], gate: &[f32], up: &[f32]) {
        let (outputs, inputs) = (dgate.iter_mut().zip(dup), gate.iter().zip(up).zip(dy));
        for ((dgate, dup), ((gate, up), dy)) in outputs.zip(inputs) {
            let share = gelu_share(*gate);
            *dgate += dy * up * gelu_derivative(*gate, share);
            *dup += dy * gate * share;
        }
    }

    fn backward_dgate(dgate: &mut [f32], dy: &[f32], gate: &[f32], up: &[f32]) {
        for (((dgate, gate), up), dy) in dgate.iter_mut().zip(gate).zip(up).zip(dy) {
            *dgate += dy * up * gelu_derivative(*gate, gelu_share(*gate));
        }
    }

    fn backward_dup(dup: &mut [f32], dy: &[f32], gate: &[f32]) {
        for ((dup, gate), dy) in dup.iter_mut().zip(gate).zip(dy) {
            *dup += dy * gate * gelu_share(*gate);
        }
    }
}

impl Kernels for Host {
    fn gated_gelu(&self, gate: &[f32], up: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; gate.len()];
        for_value_blocks(&mut y, |first, y| forward(y, &gate[first..], &up[first..]));
        y
    }

    fn gated_gelu_backward(
        &self,
        dgate: Option<&mut [f32]>,
        dup: Option<&mut [f32]>,
        dy: &[f32],
        gate: &[f32],
        up: &[f32],
    ) {
        match (dgate, dup) {
            (Some(dgate), Some(dup)) => {
                assert_eq!(dgate.len(), dup.len(), "gate and up are two variables");
                for_value_block_pairs(dgate, dup, |first, dgate, dup| {
                    backward(dgate, dup, &dy[first..], &gate[first..], &up[first..]);
                });
            }
            (Some(dgate), None) => for_value_blocks(dgate, |first, dgate| {
                backward_dgate(dgate, &dy[first..], &gate[first..], &up[first..]);
            }),
            (None, Some(dup)) => for_value_blocks(dup, |first, dup| {
                backward_dup(dup, &dy[first..], &gate[first..]);
            }),
            (None, None) => {}
        }
    }
}
