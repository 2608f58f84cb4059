//! A whole feed-forward sublayer: normalisation, both projections, activation, residual.
//!
//! One op, because what lies between its parts is four times as wide as its input: fused, it never
//! leaves the cache in the forward pass.

mod activation;
mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use super::dropout::DropoutKey;
use crate::backend::{Backend, Device, WeightGradient};
use crate::graph::{Graph, Var};

pub use cpu::HostSaved;

/// What lies between the projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `relu(n upᵀ)`, without a gate: T5 v1.0.
    Relu,
    /// `gelu(n gateᵀ) * (n upᵀ)` with GELU's tanh approximation: T5 v1.1.
    GatedGelu,
    /// `silu(n gateᵀ) * (n upᵀ)`, called SwiGLU: Llama.
    GatedSilu,
}

/// The weights of [`feed_forward`].
pub struct Weights<D: Device> {
    /// Scale of the normalisation, `(1, D)`.
    pub norm: Var<D>,
    /// `wi_0` of T5, `gate_proj` of Llama, `(F, D)`: of gated activations only.
    pub gate: Option<Var<D>>,
    /// `wi_1`, or `wi` of a ReLU layer, or `up_proj`: `(F, D)`.
    pub up: Var<D>,
    /// `wo`, `down_proj`: `(D, F)`.
    pub down: Var<D>,
    /// What is computed between the projections.
    pub activation: Activation,
}

/// What the kernels of [`feed_forward`] need to know.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// Rows of `x` (T).
    pub tokens: usize,
    /// Columns of `x` (D).
    pub width: usize,
    /// Columns between the projections (F).
    pub hidden: usize,
    /// What is computed between the projections.
    pub activation: Activation,
    /// Added to the mean square in the normalisation.
    pub eps: f32,
    /// Dropout of the activations.
    pub hidden_dropout: Option<DropoutKey>,
    /// Dropout of the output before it is added to `x`.
    pub output_dropout: Option<DropoutKey>,
}

/// The tensors that the kernels read; shapes as in [`Weights`].
pub struct Tensors<'a, D: Device> {
    /// `(T, D)`.
    pub x: &'a D::Slice,
    /// Scale of the normalisation.
    pub norm: &'a D::Slice,
    /// `wi_0` if the activation is gated.
    pub gate: Option<&'a D::Tensor>,
    /// `wi_1` or `wi`.
    pub up: &'a D::Tensor,
    /// `wo`.
    pub down: &'a D::Tensor,
}

/// Where the gradients of tuned weights are added.
pub struct WeightGradients<B> {
    /// `(1, D)`.
    pub norm: B,
    /// `(F, D)`.
    pub gate: Option<WeightGradient<B>>,
    /// `(F, D)`.
    pub up: WeightGradient<B>,
    /// `(D, F)`.
    pub down: WeightGradient<B>,
}

/// The kernels of [`feed_forward`].
pub trait Kernels: Device {
    /// What the forward pass keeps for the backward pass.
    type Saved: 'static;
    /// The output, `(T, D)`, and with `keep` what the backward pass needs.
    fn feed_forward(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        keep: bool,
    ) -> (Self::Buffer, Option<Self::Saved>);
    /// The gradient of `x`, in place of `dy`; adds to the weights' gradients if they are wanted.
    fn feed_forward_backward(
        &self,
        dy: Self::Buffer,
        saved: Self::Saved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<&mut WeightGradients<Self::Buffer>>,
    ) -> Self::Buffer;
}

/// `x + dropout(dropout(act(n)) downᵀ)` with `n = rms_norm(x)` and an [`Activation`] as `act`.
///
/// The weights are tuned all or none.
///
/// # Panics
/// If the shapes do not fit, some weights are tuned and others not, or the activation wants a gate
/// and there is none or the other way round.
pub fn feed_forward<B: Backend>(
    graph: &mut Graph<B>,
    x: &Var<B>,
    weights: &Weights<B>,
    eps: f32,
    [hidden_dropout, output_dropout]: [Option<DropoutKey>; 2],
) -> Var<B> {
    let (tokens, width) = x.shape();
    let hidden = weights.up.shape().0;
    assert_eq!(weights.norm.shape(), (1, width), "feed_forward: norm");
    assert_eq!(weights.up.shape(), (hidden, width), "feed_forward: up");
    assert_eq!(weights.down.shape(), (width, hidden), "feed_forward: down");
    let tuned = weights.up.requires_grad();
    let mut all = vec![&weights.norm, &weights.up, &weights.down];
    all.extend(&weights.gate);
    assert!(
        all.iter().all(|weight| weight.requires_grad() == tuned),
        "feed_forward: weights tuned all or none"
    );
    assert_eq!(
        weights.gate.is_some(),
        weights.activation != Activation::Relu,
        "feed_forward: a gate for gated activations"
    );
    if let Some(gate) = &weights.gate {
        assert_eq!(gate.shape(), (hidden, width), "feed_forward: gate");
    }
    let some = |key: Option<DropoutKey>| key.filter(|key| key.rate > 0.0);
    let problem = Problem {
        tokens,
        width,
        hidden,
        activation: weights.activation,
        eps,
        hidden_dropout: some(hidden_dropout),
        output_dropout: some(output_dropout),
    };
    let device = graph.device().clone();
    let keep = graph.records(&[x, &weights.up]);
    let tensors = Tensors {
        x: x.slice(),
        norm: weights.norm.slice(),
        gate: weights.gate.as_ref().map(Var::tensor),
        up: weights.up.tensor(),
        down: weights.down.tensor(),
    };
    let (y, saved) = device.feed_forward(tensors, &problem, keep);
    let backward = saved.map(|saved| {
        let x_slot = x.slot();
        let x = x.tensor().clone();
        let norm = weights.norm.tensor().clone();
        let gate = weights.gate.as_ref().map(|gate| gate.tensor().clone());
        let (up, down) = (weights.up.tensor().clone(), weights.down.tensor().clone());
        let slots = weights.norm.slot().map(|norm| Slots {
            norm,
            gate: weights.gate.as_ref().and_then(Var::slot),
            up: weights.up.slot().expect("tuned"),
            down: weights.down.slot().expect("tuned"),
        });
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let mut taken = slots.as_ref().map(|slots| slots.take::<B>(gradients));
            let tensors = Tensors {
                x: B::slice(&x),
                norm: B::slice(&norm),
                gate: gate.as_ref(),
                up: &up,
                down: &down,
            };
            let dx = device.feed_forward_backward(dy, saved, tensors, &problem, taken.as_mut());
            if let (Some(taken), Some(slots)) = (taken, slots) {
                slots.put::<B>(gradients, taken);
            }
            if let Some(slot) = x_slot {
                device.add_gradient_buffer(gradients, &slot, dx);
            }
        }
    });
    graph.output(y, (tokens, width), backward)
}

/// Where the gradients of tuned weights are.
struct Slots<S> {
    norm: S,
    gate: Option<S>,
    up: S,
    down: S,
}

impl<S> Slots<S> {
    fn take<D>(&self, gradients: &mut D::Gradients) -> WeightGradients<D::Buffer>
    where
        D: Device<Slot = S>,
    {
        let norm = D::take_gradient(gradients, &self.norm);
        let mut take = |slot: &S| WeightGradient::take::<D>(gradients, slot);
        WeightGradients {
            norm,
            gate: self.gate.as_ref().map(&mut take),
            up: take(&self.up),
            down: take(&self.down),
        }
    }

    fn put<D>(&self, gradients: &mut D::Gradients, taken: WeightGradients<D::Buffer>)
    where
        D: Device<Slot = S>,
    {
        D::put_gradient(gradients, &self.norm, taken.norm);
        taken.up.put::<D>(gradients, &self.up);
        taken.down.put::<D>(gradients, &self.down);
        if let (Some(gate), Some(slot)) = (taken.gate, &self.gate) {
            gate.put::<D>(gradients, slot);
        }
    }
}
