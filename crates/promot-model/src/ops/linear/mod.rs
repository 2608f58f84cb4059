//! `y = x wᵀ`: a linear layer without a bias, as T5 and Llama use it.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// Sizes of one product.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of `x` and `y` (T).
    pub tokens: usize,
    /// Columns of `x` and `w`.
    pub in_features: usize,
    /// Rows of `w`, columns of `y`.
    pub out_features: usize,
}

/// The kernels of [`linear`].
pub trait Kernels: Device {
    /// `x wᵀ`, `(tokens, out_features)`.
    fn linear(&self, x: &Self::Slice, w: &Self::Tensor, sizes: Sizes) -> Self::Buffer;
    /// `dx += dy w`.
    fn linear_dx(&self, dx: &mut Self::Slice, dy: &Self::Slice, w: &Self::Tensor, sizes: Sizes);
    /// `dw += dyᵀ x`.
    fn linear_dw(&self, dw: &mut Self::Slice, dy: &Self::Slice, x: &Self::Slice, sizes: Sizes);
}

/// `x wᵀ`: `x` is `(T, in_features)`, `w` is `(out_features, in_features)`, the result is
/// `(T, out_features)`.
///
/// `x` is kept for the backward pass only if `w` is tuned, and `w` only if `x` wants a gradient.
///
/// # Panics
/// If the widths differ.
pub fn linear<B: Backend>(graph: &mut Graph<B>, x: &Var<B>, w: &Var<B>) -> Var<B> {
    let ((tokens, in_features), (out_features, w_in)) = (x.shape(), w.shape());
    assert_eq!(in_features, w_in, "linear: width of x and of w");
    let sizes = Sizes {
        tokens,
        in_features,
        out_features,
    };
    let device = graph.device().clone();
    let y = device.linear(x.slice(), w.tensor(), sizes);
    let backward = graph.records(&[x, w]).then(|| {
        let to_x = x.slot().map(|slot| (slot, w.tensor().clone()));
        let to_w = w.slot().map(|slot| (slot, x.tensor().clone()));
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let dy = dy.as_ref();
            if let Some((slot, w)) = to_x {
                B::add_gradient(gradients, &slot, |dx| {
                    device.linear_dx(dx, dy, &w, sizes);
                });
            }
            if let Some((slot, x)) = to_w {
                B::add_gradient(gradients, &slot, |dw| {
                    device.linear_dw(dw, dy, B::slice(&x), sizes);
                });
            }
        }
    });
    graph.output(y, (tokens, out_features), backward)
}
