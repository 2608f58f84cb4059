//! `a + b`: the residual connection.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// The kernels of [`add`].
pub trait Kernels: Device {
    /// `a + b`.
    fn add(&self, a: &Self::Slice, b: &Self::Slice) -> Self::Buffer;
    /// `total += x`.
    fn add_assign(&self, total: &mut Self::Slice, x: &Self::Slice);
}

/// The element-wise sum of two tensors of one shape.
///
/// # Panics
/// If the shapes differ.
pub fn add<B: Backend>(graph: &mut Graph<B>, a: &Var<B>, b: &Var<B>) -> Var<B> {
    assert_eq!(a.shape(), b.shape(), "add: shapes");
    let device = graph.device().clone();
    let y = device.add(a.slice(), b.slice());
    let backward = graph.records(&[a, b]).then(|| {
        let slots = [a.slot(), b.slot()];
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            for slot in slots.into_iter().flatten() {
                B::add_gradient(gradients, &slot, |dx| device.add_assign(dx, dy.as_ref()));
            }
        }
    });
    graph.output(y, a.shape(), backward)
}
