//! Activations between the two projections and their gradients, on blocks of values.

use super::Activation;
use crate::gemm::vectorized;
use crate::ops::math::sigmoid;

/// 2 sqrt(2 / pi)
const SLOPE: f32 = 1.595_769_2;
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

/// `act(gate) * up`, in place of `gate`.
///
/// # Panics
/// If the activation has no gate.
pub(super) fn gated(activation: Activation, gate: &mut [f32], up: &[f32]) {
    match activation {
        Activation::GatedGelu => gated_gelu(gate, up),
        Activation::GatedSilu => gated_silu(gate, up),
        Activation::Relu => unreachable!("a gated activation"),
    }
}

/// From the gradient `dh` of `h = act(gate) * up`: `h` in its place, and the gradients of `gate` and
/// `up` in theirs.
///
/// # Panics
/// If the activation has no gate.
pub(super) fn gated_backward(
    activation: Activation,
    dh: &mut [f32],
    gate: &mut [f32],
    up: &mut [f32],
) {
    match activation {
        Activation::GatedGelu => gated_gelu_backward(dh, gate, up),
        Activation::GatedSilu => gated_silu_backward(dh, gate, up),
        Activation::Relu => unreachable!("a gated activation"),
    }
}

vectorized! {
    fn gated_silu(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate * sigmoid(*gate) * up;
        }
    }

    fn gated_silu_backward(dh: &mut [f32], gate: &mut [f32], up: &mut [f32]) {
        for ((dh, gate), up) in dh.iter_mut().zip(gate).zip(up) {
            let share = sigmoid(*gate);
            let silu = *gate * share;
            let dgate = *dh * *up * (share + silu * (1.0 - share));
            let h = silu * *up;
            *up = *dh * silu;
            *gate = dgate;
            *dh = h;
        }
    }

    fn gated_gelu(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate * gelu_share(*gate) * up;
        }
    }

    fn gated_gelu_backward(dh: &mut [f32], gate: &mut [f32], up: &mut [f32]) {
        for ((dh, gate), up) in dh.iter_mut().zip(gate).zip(up) {
            let share = gelu_share(*gate);
            let gelu = *gate * share;
            let dgate = *dh * *up * gelu_derivative(*gate, share);
            let h = gelu * *up;
            *up = *dh * gelu;
            *gate = dgate;
            *dh = h;
        }
    }

    /// `max(up, 0)` in place.
    pub(super) fn relu(up: &mut [f32]) {
        for up in up {
            *up = up.max(0.0);
        }
    }

    /// From the gradient `dh` of `h = relu(up)`: `h` in its place, the gradient of `up` in its.
    pub(super) fn relu_backward(dh: &mut [f32], up: &mut [f32]) {
        for (dh, up) in dh.iter_mut().zip(up) {
            let h = up.max(0.0);
            *up = if *up > 0.0 { *dh } else { 0.0 };
            *dh = h;
        }
    }
}
