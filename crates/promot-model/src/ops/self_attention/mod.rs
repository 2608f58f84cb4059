//! A self-attention sublayer: normalisation, projections, attention of each sequence to itself, and what is
//! added to the residual stream.
//!
//! One op, because what lies between its steps need not go through memory where a sequence's tokens go
//! through all of them at once.

mod by_sequence;
mod cpu;
mod cuda;
mod stepwise;
#[cfg(test)]
mod tests;

use super::attention::{self, Layout, RelativeBias};
use super::dropout::DropoutKey;
use crate::backend::{Backend, Device, WeightGradient};
use crate::graph::{Graph, Var};

pub use cpu::HostSaved;

/// The weights of the sublayer.
pub struct Weights<D: Device> {
    /// Scale of the normalisation, `(1, D)`.
    pub norm: Var<D>,
    /// Projection to queries, `(H * d_kv, D)`.
    pub q: Var<D>,
    /// Projection to keys, `(G * d_kv, D)`.
    pub k: Var<D>,
    /// Projection to values, `(G * d_kv, D)`.
    pub v: Var<D>,
    /// Projection of what was attended to, `(D, H * d_kv)`.
    pub o: Var<D>,
}

/// What the kernels of [`self_attention`] need to know.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which tokens see which.
    pub attention: attention::Problem,
    /// Added to the mean square.
    pub eps: f32,
    /// Dropout of what is added to the residual stream.
    pub dropout: Option<DropoutKey>,
}

/// Tensors that go into [`self_attention`]: as in [`Weights`].
pub struct Tensors<'a, D: Device> {
    /// The residual stream, `(T, D)`.
    pub x: &'a D::Slice,
    /// Scale of the normalisation.
    pub norm: &'a D::Slice,
    /// Projections to queries, keys and values.
    pub qkv: [&'a D::Tensor; 3],
    /// Projection of what was attended to.
    pub o: &'a D::Tensor,
    /// Bias table, `(num_buckets, H)`.
    pub bias: Option<&'a D::Slice>,
}

/// Gradients of weights, which [`Kernels::self_attention_backward`] adds to.
pub struct WeightGradients<B> {
    /// `(1, D)`.
    pub norm: B,
    /// Of the projections to queries, keys and values.
    pub qkv: [WeightGradient<B>; 3],
    /// `(D, H * d_kv)`.
    pub o: WeightGradient<B>,
}

/// Gradients that come out of [`self_attention`].
pub struct Gradients<B> {
    /// `(T, D)`.
    pub dx: B,
    /// Those that came in, with what was added.
    pub weights: Option<WeightGradients<B>>,
    /// Of the bias table, `(num_buckets, H)`, if asked for.
    pub dbias: Option<B>,
}

/// The kernels of [`self_attention`].
pub trait Kernels: Device {
    /// What the forward pass keeps for the backward pass.
    type Saved: 'static;
    /// The output, `(T, D)`, and what the backward pass needs.
    fn self_attention(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
    ) -> (Self::Buffer, Self::Saved);
    /// The gradients, from that of the output; adds to those of the weights if they are wanted.
    fn self_attention_backward(
        &self,
        dy: Self::Buffer,
        saved: Self::Saved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<WeightGradients<Self::Buffer>>,
        with_bias: bool,
    ) -> Gradients<Self::Buffer>;
}

/// `x + dropout(attention(q, k, v) oᵀ)` with `q = rms_norm(x) wqᵀ` and so on; `x` is `(T, D)`.
///
/// All weights are tuned, or none; the bias table by itself.
///
/// # Panics
/// If the shapes or offsets do not fit, tokens attend to others than those of their own sequence, or some
/// weights are tuned and others not.
pub fn self_attention<B: Backend>(
    graph: &mut Graph<B>,
    x: &Var<B>,
    weights: &Weights<B>,
    bias: Option<&RelativeBias<B>>,
    layout: &Layout,
    (eps, dropout): (f32, Option<DropoutKey>),
) -> Var<B> {
    let (tokens, width) = x.shape();
    let Weights { norm, q, k, v, o } = weights;
    assert_eq!(norm.shape(), (1, width), "self_attention: norm");
    for projection in [q, k, v] {
        assert_eq!(projection.shape().1, width, "self_attention: widths");
    }
    assert_eq!(o.shape(), (width, q.shape().0), "self_attention: output");
    let tuned = norm.requires_grad();
    assert!(
        [q, k, v, o].iter().all(|w| w.requires_grad() == tuned),
        "self_attention: tuned all or none"
    );
    assert_eq!(
        layout.q_offsets, layout.kv_offsets,
        "self_attention: sequences"
    );
    let [q_shape, k_shape, v_shape] = [q, k, v].map(|w| (tokens, w.shape().0));
    let bias_shape = bias.map(|bias| (bias.table.shape(), bias.buckets));
    let problem = Problem {
        attention: attention::Problem::new(q_shape, k_shape, v_shape, bias_shape, layout),
        eps,
        dropout: dropout.filter(|key| key.rate > 0.0),
    };
    let device = graph.device().clone();
    let tensors = Tensors {
        x: x.slice(),
        norm: norm.slice(),
        qkv: [q.tensor(), k.tensor(), v.tensor()],
        o: o.tensor(),
        bias: bias.map(|bias| bias.table.slice()),
    };
    let (y, saved) = device.self_attention(tensors, &problem);

    let mut sources = vec![x, norm];
    sources.extend(bias.map(|bias| &bias.table));
    let backward = graph.records(&sources).then(|| {
        let (x_slot, norm_slot) = (x.slot(), norm.slot());
        let weight_slots = [q, k, v, o].map(Var::slot);
        let bias_slot = bias.and_then(|bias| bias.table.slot());
        let [x, norm, q, k, v, o] = [x, norm, q, k, v, o].map(|var| var.tensor().clone());
        let bias = bias.map(|bias| bias.table.tensor().clone());
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let tensors = Tensors {
                x: B::slice(&x),
                norm: B::slice(&norm),
                qkv: [&q, &k, &v],
                o: &o,
                bias: bias.as_ref().map(B::slice),
            };
            let weights = norm_slot.as_ref().map(|norm| {
                let [q, k, v, o] = weight_slots.each_ref().map(|slot| {
                    let slot = slot.as_ref().expect("all weights are tuned");
                    WeightGradient::take::<B>(gradients, slot)
                });
                WeightGradients {
                    norm: B::take_gradient(gradients, norm),
                    qkv: [q, k, v],
                    o,
                }
            });
            let with_bias = bias_slot.is_some();
            let out =
                device.self_attention_backward(dy, saved, tensors, &problem, weights, with_bias);
            if let (Some(slot), Some(weights)) = (norm_slot, out.weights) {
                B::put_gradient(gradients, &slot, weights.norm);
                let [q, k, v] = weights.qkv;
                for (slot, dw) in weight_slots.iter().flatten().zip([q, k, v, weights.o]) {
                    dw.put::<B>(gradients, slot);
                }
            }
            for (slot, gradient) in [(x_slot, Some(out.dx)), (bias_slot, out.dbias)] {
                if let (Some(slot), Some(gradient)) = (slot, gradient) {
                    device.add_gradient_buffer(gradients, &slot, gradient);
                }
            }
        }
    });
    graph.output(y, (tokens, width), backward)
}
