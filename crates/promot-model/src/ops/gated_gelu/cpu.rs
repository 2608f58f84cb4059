//! Gated GELU on the CPU.

use super::Kernels;
use crate::backend::Host;
use crate::ops::math::tanh;
use crate::ops::parallel::for_value_blocks;

/// sqrt(2 / pi)
const SLOPE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(SLOPE * (x + CUBIC * x * x * x)))
}

#[inline(always)]
fn gelu_derivative(x: f32) -> f32 {
    let t = tanh(SLOPE * (x + CUBIC * x * x * x));
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SLOPE * (1.0 + 3.0 * CUBIC * x * x)
}

impl Kernels for Host {
    fn gated_gelu(&self, gate: &[f32], up: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; gate.len()];
        for_value_blocks(&mut y, |first, y| {
            let (gate, up) = (&gate[first..][..y.len()], &up[first..][..y.len()]);
            for i in 0..y.len() {
                y[i] = gelu(gate[i]) * up[i];
            }
        });
        y
    }

    fn gated_gelu_dgate(&self, dgate: &mut [f32], dy: &[f32], gate: &[f32], up: &[f32]) {
        for_value_blocks(dgate, |first, dgate| {
            let n = dgate.len();
            let (dy, gate, up) = (&dy[first..][..n], &gate[first..][..n], &up[first..][..n]);
            for i in 0..n {
                dgate[i] += dy[i] * up[i] * gelu_derivative(gate[i]);
            }
        });
    }

    fn gated_gelu_dup(&self, dup: &mut [f32], dy: &[f32], gate: &[f32]) {
        for_value_blocks(dup, |first, dup| {
            let (dy, gate) = (&dy[first..][..dup.len()], &gate[first..][..dup.len()]);
            for i in 0..dup.len() {
                dup[i] += dy[i] * gelu(gate[i]);
            }
        });
    }
}
