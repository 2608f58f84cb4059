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
    /// `dgate += dy * up * gelu'(gate)`.
    fn gated_gelu_dgate(
        &self,
        dgate: &mut Self::Slice,
        dy: &Self::Slice,
        gate: &Self::Slice,
        up: &Self::Slice,
    );
    /// `dup += dy * gelu(gate)`.
    fn gated_gelu_dup(&self, dup: &mut Self::Slice, dy: &Self::Slice, gate: &Self::Slice);
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
            if let Some(slot) = gate_slot {
                B::add_gradient(gradients, &slot, |dgate| {
                    device.gated_gelu_dgate(dgate, dy, gate, up);
                });
            }
            if let Some(slot) = up_slot {
                B::add_gradient(gradients, &slot, |dup| device.gated_gelu_dup(dup, dy, gate));
            }
        }
    });
    graph.output(y, gate.shape(), backward)
}
