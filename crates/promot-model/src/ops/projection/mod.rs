//! The projections around attention: of the normalised input, and back onto the residual stream.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use super::dropout::DropoutKey;
use crate::backend::{Backend, Device, WeightGradient};
use crate::graph::{Graph, Var};

/// Where [`Kernels::norm_linears_backward`] adds gradients.
pub struct NormLinearsGradients<B> {
    /// Of the input, `(T, D)`.
    pub dx: B,
    /// Of the normalisation's scale, `(1, D)`, if weights are tuned.
    pub dnorm: Option<B>,
    /// Of the weights; none where they are frozen.
    pub dws: Vec<WeightGradient<B>>,
}

/// What the kernels of [`norm_linears`] read beside the weights.
#[derive(Clone, Copy)]
pub struct NormInput<'a, S: ?Sized> {
    /// `(T, D)`.
    pub x: &'a S,
    /// Scale of the normalisation, `(1, D)`.
    pub norm: &'a S,
    /// Added to the mean square.
    pub eps: f32,
}

/// The kernels of [`norm_linears`] and [`linear_add`].
pub trait Kernels: Device {
    /// `rms_norm(x) wᵀ` for each weight, `(T, rows of w)`.
    fn norm_linears(
        &self,
        input: NormInput<'_, Self::Slice>,
        weights: &[&Self::Tensor],
    ) -> Vec<Self::Buffer>;
    /// Adds the gradients that follow from those of the outputs, `dys`.
    fn norm_linears_backward(
        &self,
        gradients: &mut NormLinearsGradients<Self::Buffer>,
        dys: Vec<Self::Buffer>,
        input: NormInput<'_, Self::Slice>,
        weights: &[&Self::Tensor],
    );
    /// `x + dropout(h wᵀ)`.
    fn linear_add(
        &self,
        x: &Self::Slice,
        h: &Self::Slice,
        w: &Self::Tensor,
        dropout: Option<DropoutKey>,
    ) -> Self::Buffer;
    /// The gradient of `h`; adds to that of `w` if it is wanted.
    fn linear_add_backward(
        &self,
        dy: &Self::Slice,
        h: &Self::Slice,
        w: &Self::Tensor,
        dropout: Option<DropoutKey>,
        dw: Option<&mut WeightGradient<Self::Buffer>>,
    ) -> Self::Buffer;
}

/// `rms_norm(x) wᵀ` for each of `weights`: queries, keys and values of one normalised input, which
/// is computed once and not kept.
///
/// `x` is `(T, D)`, `norm` `(1, D)`, each weight `(out_features, D)`. All weights are tuned, `norm`
/// too, or none of them.
///
/// # Panics
/// If the shapes do not fit, or some weights are tuned and others not.
pub fn norm_linears<B: Backend>(
    graph: &mut Graph<B>,
    x: &Var<B>,
    norm: &Var<B>,
    weights: &[Var<B>],
    eps: f32,
) -> Vec<Var<B>> {
    let (tokens, width) = x.shape();
    assert_eq!(norm.shape(), (1, width), "norm_linears: norm");
    let tuned = norm.requires_grad();
    for weight in weights {
        assert_eq!(weight.shape().1, width, "norm_linears: widths");
        assert_eq!(
            weight.requires_grad(),
            tuned,
            "norm_linears: tuned all or none"
        );
    }
    let device = graph.device().clone();
    let input = NormInput {
        x: x.slice(),
        norm: norm.slice(),
        eps,
    };
    let tensors: Vec<_> = weights.iter().map(Var::tensor).collect();
    let outputs = device.norm_linears(input, &tensors);
    let outputs: Vec<B::Tensor> = outputs
        .into_iter()
        .zip(weights)
        .map(|(y, weight)| device.tensor(y, (tokens, weight.shape().0)))
        .collect();
    let backward = graph.records(&[x, norm]).then(|| {
        let slots: Vec<_> = outputs.iter().map(B::slot).collect();
        let (x_slot, norm_slot) = (B::slot(x.tensor()), norm.slot());
        let weight_slots: Vec<_> = weights.iter().filter_map(Var::slot).collect();
        let (x, norm) = (x.tensor().clone(), norm.tensor().clone());
        let weights: Vec<_> = weights
            .iter()
            .map(|weight| weight.tensor().clone())
            .collect();
        move |gradients: &mut B::Gradients| {
            let mut take = |slot: &B::Slot| B::take_gradient(gradients, slot);
            let dys = slots.iter().map(&mut take).collect();
            // The input's gradient may be there already: that of the residual stream.
            let mut taken = NormLinearsGradients {
                dx: take(&x_slot),
                dnorm: norm_slot.as_ref().map(&mut take),
                dws: weight_slots
                    .iter()
                    .map(|slot| WeightGradient::take::<B>(gradients, slot))
                    .collect(),
            };
            let input = NormInput {
                x: B::slice(&x),
                norm: B::slice(&norm),
                eps,
            };
            let weights: Vec<_> = weights.iter().collect();
            device.norm_linears_backward(&mut taken, dys, input, &weights);
            B::put_gradient(gradients, &x_slot, taken.dx);
            if let (Some(slot), Some(dnorm)) = (&norm_slot, taken.dnorm) {
                B::put_gradient(gradients, slot, dnorm);
            }
            for (slot, dw) in weight_slots.iter().zip(taken.dws) {
                dw.put::<B>(gradients, slot);
            }
        }
    });
    graph.outputs(outputs, backward)
}

/// `x + dropout(h wᵀ)`: `x` is `(T, D)`, `h` `(T, in_features)`, `w` `(D, in_features)`.
///
/// # Panics
/// If the shapes do not fit.
pub fn linear_add<B: Backend>(
    graph: &mut Graph<B>,
    x: &Var<B>,
    h: &Var<B>,
    w: &Var<B>,
    dropout: Option<DropoutKey>,
) -> Var<B> {
    let ((tokens, width), (h_tokens, features)) = (x.shape(), h.shape());
    assert_eq!(tokens, h_tokens, "linear_add: rows");
    assert_eq!(w.shape(), (width, features), "linear_add: weight");
    let dropout = dropout.filter(|key| key.rate > 0.0);
    let device = graph.device().clone();
    let y = device.linear_add(x.slice(), h.slice(), w.tensor(), dropout);
    let backward = graph.records(&[x, h, w]).then(|| {
        let (x_slot, h_slot, w_slot) = (x.slot(), h.slot(), w.slot());
        let (h, w) = (h.tensor().clone(), w.tensor().clone());
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let mut dw = w_slot
                .as_ref()
                .map(|slot| WeightGradient::take::<B>(gradients, slot));
            let slice = dy.as_ref();
            let dh = device.linear_add_backward(slice, B::slice(&h), &w, dropout, dw.as_mut());
            if let (Some(slot), Some(dw)) = (w_slot, dw) {
                dw.put::<B>(gradients, &slot);
            }
            for (slot, gradient) in [(h_slot, dh), (x_slot, dy)] {
                if let Some(slot) = slot {
                    device.add_gradient_buffer(gradients, &slot, gradient);
                }
            }
        }
    });
    graph.output(y, (tokens, width), backward)
}
