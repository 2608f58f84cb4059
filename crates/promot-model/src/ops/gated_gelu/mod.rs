//! `gelu(gate) * up`: the activation of T5 v1.1 and mT5.

mod cpu;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// The kernels of [`gated_gelu`].
pub trait Kernels: Device {
    /// `gelu(gate) * up`.
    fn gated_gelu(&self, gate: &Self::Slice, up: &Self::Slice) -> Self::Buffer;
    /// `dgate += dy * up * gelu'(gate)` and `dup += dy * gelu(gate)`, those that are asked for.
    fn gated_gelu_backward(
        &self,
        dgate: Option<&mut Self::Slice>,
        dup: Option<&mut Self::Slice>,
        dy: &Self::Slice,
        gate: &Self::Slice,
        up: &Self::Slice,
    );
}

/// Gated GELU with the tanh approximation, which Hugging Face calls `gelu_new` and uses for
/// `feed_forward_proj: gated-gelu`. Both inputs are `(T, d_ff)`.
///
/// # Panics
/// If the shapes differ.
pub fn gated_gelu<B: Backend>(graph: &mut Graph<B>, gate: &Var<B>, up: &Var<B>) -> Var<B> {
    assert_eq!(gate.shape(), up.shape(), "gated_gelu: shapes");
    let device = graph.device().clone();
    let y = device.gated_gelu(gate.slice(), up.slice());
    let backward = graph.records(&[gate, up]).then(|| {
        let (gate_slot, up_slot) = (gate.slot(), up.slot());
        let (gate, up) = (gate.tensor().clone(), up.tensor().clone());
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let (dy, gate, up) = (dy.as_ref(), B::slice(&gate), B::slice(&up));
            // Both gradients need the same exponentials, so they are computed together.
            match (gate_slot, up_slot) {
                (Some(gate_slot), Some(up_slot)) => {
                    let mut dgate = B::take_gradient(gradients, &gate_slot);
                    B::add_gradient(gradients, &up_slot, |dup| {
                        device.gated_gelu_backward(Some(dgate.as_mut()), Some(dup), dy, gate, up);
                    });
                    B::put_gradient(gradients, &gate_slot, dgate);
                }
                (Some(slot), None) => B::add_gradient(gradients, &slot, |dgate| {
                    device.gated_gelu_backward(Some(dgate), None, dy, gate, up);
                }),
                (None, Some(slot)) => B::add_gradient(gradients, &slot, |dup| {
                    device.gated_gelu_backward(None, Some(dup), dy, gate, up);
                }),
                (None, None) => {}
            }
        }
    });
    graph.output(y, gate.shape(), backward)
}
