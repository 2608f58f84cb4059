//! A tensor times a number.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

pub(super) use cpu::scale_values;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// The kernel of [`scale`].
pub trait Kernels: Device {
    /// `factor * x`.
    fn scale(&self, x: &Self::Slice, factor: f32) -> Self::Buffer;
}

/// `factor * x`, element by element.
pub fn scale<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, factor: f32) -> Var<B> {
    let device = graph.device().clone();
    let y = device.scale(x.slice(), factor);
    let backward = graph.records(&[x]).then(|| {
        let slot = x.slot().expect("recorded for its sake");
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let dx = device.scale(dy.as_ref(), factor);
            device.add_gradient_buffer(gradients, &slot, dx);
        }
    });
    graph.output(y, x.shape(), backward)
}
