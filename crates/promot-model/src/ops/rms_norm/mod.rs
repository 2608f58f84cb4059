//! Root-mean-square normalisation with a learned scale and no shift, as in T5 and Llama.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

pub(super) use cpu::{norm_dw_rows, norm_dx_rows, norm_rows};

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// The kernels of [`rms_norm`]. `width` is D; `x` has `width` columns.
pub trait Kernels: Device {
    /// `x / rms(x) * w`, row by row.
    fn rms_norm(&self, x: &Self::Slice, w: &Self::Slice, width: usize, eps: f32) -> Self::Buffer;
    /// Adds the gradient of the input to `dx`.
    fn rms_norm_dx(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        w: &Self::Slice,
        eps: f32,
    );
    /// Adds the gradient of the scale to `dw`, which has `width` values.
    fn rms_norm_dw(&self, dw: &mut Self::Slice, dy: &Self::Slice, x: &Self::Slice, eps: f32);
}

/// `y[t] = x[t] / sqrt(mean(x[t]²) + eps) * w`; `x` is `(T, D)`, `w` is `(1, D)`.
///
/// # Panics
/// If the widths differ.
pub fn rms_norm<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, w: &Var<B>, eps: f32) -> Var<B> {
    assert_eq!(w.shape(), (1, x.shape().1), "rms_norm: shape of the scale");
    let device = graph.device().clone();
    let y = device.rms_norm(x.slice(), w.slice(), x.shape().1, eps);
    let backward = graph.records(&[x, w]).then(|| {
        let (x_slot, w_slot) = (x.slot(), w.slot());
        let (x, w) = (x.tensor().clone(), w.tensor().clone());
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let (dy, x, w) = (dy.as_ref(), B::slice(&x), B::slice(&w));
            if let Some(slot) = x_slot {
                B::add_gradient(gradients, &slot, |dx| device.rms_norm_dx(dx, dy, x, w, eps));
            }
            if let Some(slot) = w_slot {
                B::add_gradient(gradients, &slot, |dw| device.rms_norm_dw(dw, dy, x, eps));
            }
        }
    });
    graph.output(y, x.shape(), backward)
}
