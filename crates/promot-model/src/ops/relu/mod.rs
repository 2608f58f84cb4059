//! `max(x, 0)`: the activation of T5 v1.0.

mod cpu;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// The kernels of [`relu`].
pub trait Kernels: Device {
    /// `max(x, 0)`.
    fn relu(&self, x: &Self::Slice) -> Self::Buffer;
    /// `dx += dy` where `y > 0`.
    fn relu_dx(&self, dx: &mut Self::Slice, dy: &Self::Slice, y: &Self::Slice);
}

/// Rectified linear units, element by element; the gradient at 0 is 0.
pub fn relu<B: Backend>(graph: &mut Graph<B>, x: &Var<B>) -> Var<B> {
    let device = graph.device().clone();
    let y = device.relu(x.slice());
    let backward = graph.records(&[x]).then(|| {
        let (slot, x) = (x.slot(), x.tensor().clone());
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            if let Some(slot) = slot {
                // The sign of the input is the sign of the output: no need to keep both.
                B::add_gradient(gradients, &slot, |dx| {
                    device.relu_dx(dx, dy.as_ref(), B::slice(&x))
                });
            }
        }
    });
    graph.output(y, x.shape(), backward)
}
