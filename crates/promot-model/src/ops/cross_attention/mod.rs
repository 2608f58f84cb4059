//! Attention of one sequence's tokens to another's states, projections to keys and values included:
//! that of a decoder to an encoder.
//!
//! One op, because keys and values need not exist: `q · (s wkᵀ)` is `(q wk) · s`. Where a few queries
//! meet many states it takes less to bring the queries to the states than all states to the queries.

mod absorbed;
mod cpu;
mod cuda;
mod heads;
mod projected;
#[cfg(test)]
mod tests;

use super::attention::Layout;
use crate::backend::{Backend, Device, WeightGradient};
use crate::graph::{Graph, Var};

pub use cpu::HostSaved;

/// What the kernels of [`cross_attention`] need to know.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which queries see which states.
    pub layout: Layout,
    /// Columns of one head of queries.
    pub d_kv: usize,
    /// Columns of the states (D).
    pub width: usize,
}

impl Problem {
    /// Columns of all heads of queries.
    fn features(&self) -> usize {
        self.layout.num_heads * self.d_kv
    }

    /// Rows of the states (Ts).
    fn states(&self) -> usize {
        *self.layout.kv_offsets.last().expect("an end of offsets")
    }
}

/// Tensors that go into [`cross_attention`].
pub struct Inputs<'a, D: Device> {
    /// Queries, `(Tq, H * d_kv)`.
    pub q: &'a D::Slice,
    /// States, `(Ts, D)`.
    pub states: &'a D::Slice,
    /// The projection to keys, `(H * d_kv, D)`.
    pub wk: &'a D::Tensor,
    /// The projection to values, `(H * d_kv, D)`.
    pub wv: &'a D::Tensor,
}

impl<D: Device> Clone for Inputs<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device> Copy for Inputs<'_, D> {}

/// Where [`Kernels::cross_attention_backward`] adds gradients, of what is tuned.
pub struct Gradients<B> {
    /// `(Ts, D)`.
    pub states: Option<B>,
    /// `(H * d_kv, D)`.
    pub wk: Option<WeightGradient<B>>,
    /// `(H * d_kv, D)`.
    pub wv: Option<WeightGradient<B>>,
}

/// The kernels of [`cross_attention`].
pub trait Kernels: Device {
    /// What the forward pass keeps for the backward pass.
    type Saved: 'static;
    /// The output, `(Tq, H * d_kv)`, and what the backward pass needs beside it.
    fn cross_attention(
        &self,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
    ) -> (Self::Buffer, Self::Saved);
    /// The gradient of the queries; adds to the others.
    fn cross_attention_backward(
        &self,
        dy: &Self::Slice,
        y: &Self::Slice,
        saved: Self::Saved,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
        gradients: &mut Gradients<Self::Buffer>,
    ) -> Self::Buffer;
}

/// `softmax(scale * q kᵀ) v` within each sequence and head, with keys `k = states wkᵀ` and values
/// `v = states wvᵀ`. `q` is `(Tq, H * d_kv)`, `states` `(Ts, D)`, the weights are `(H * d_kv, D)`.
///
/// # Panics
/// If the shapes or offsets do not fit, or the layout has shared keys, fewer heads of keys than of
/// queries, or an order of tokens (`causal`).
pub fn cross_attention<B: Backend>(
    graph: &mut Graph<B>,
    q: &Var<B>,
    states: &Var<B>,
    [wk, wv]: [&Var<B>; 2],
    layout: &Layout,
) -> Var<B> {
    let ((q_tokens, features), (tokens, width)) = (q.shape(), states.shape());
    let heads = layout.num_heads;
    assert_eq!(wk.shape(), (features, width), "cross_attention: keys");
    assert_eq!(wv.shape(), (features, width), "cross_attention: values");
    assert_eq!(features % heads, 0, "cross_attention: columns of heads");
    assert_eq!(layout.num_kv_heads, heads, "cross_attention: heads of keys");
    assert!(
        !layout.shared_keys && !layout.causal,
        "cross_attention: layout"
    );
    let (q_offsets, kv_offsets) = (&layout.q_offsets, &layout.kv_offsets);
    assert_eq!(
        q_offsets.len(),
        kv_offsets.len(),
        "cross_attention: sequences"
    );
    assert_eq!(
        q_offsets.last(),
        Some(&q_tokens),
        "cross_attention: queries"
    );
    assert_eq!(kv_offsets.last(), Some(&tokens), "cross_attention: states");
    let problem = Problem {
        layout: layout.clone(),
        d_kv: features / heads,
        width,
    };
    let device = graph.device().clone();
    let inputs = Inputs {
        q: q.slice(),
        states: states.slice(),
        wk: wk.tensor(),
        wv: wv.tensor(),
    };
    let (y, saved) = device.cross_attention(inputs, &problem);
    let y = device.tensor(y, q.shape());
    let backward = graph.records(&[q, states, wk, wv]).then(|| {
        let q_slot = q.slot();
        let slots = [states, wk, wv].map(Var::slot);
        let tensors = [q, states, wk, wv].map(|var| var.tensor().clone());
        let y = y.clone();
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let [q, states, wk, wv] = &tensors;
            let inputs = Inputs {
                q: B::slice(q),
                states: B::slice(states),
                wk,
                wv,
            };
            let [of_states, of_wk, of_wv] = slots;
            let mut taken = Gradients {
                states: of_states
                    .as_ref()
                    .map(|slot| B::take_gradient(gradients, slot)),
                wk: of_wk
                    .as_ref()
                    .map(|slot| WeightGradient::take::<B>(gradients, slot)),
                wv: of_wv
                    .as_ref()
                    .map(|slot| WeightGradient::take::<B>(gradients, slot)),
            };
            let (dy, y) = (dy.as_ref(), B::slice(&y));
            let dq = device.cross_attention_backward(dy, y, saved, inputs, &problem, &mut taken);
            if let (Some(slot), Some(dstates)) = (of_states, taken.states) {
                B::put_gradient(gradients, &slot, dstates);
            }
            for (slot, dw) in [(of_wk, taken.wk), (of_wv, taken.wv)] {
                if let (Some(slot), Some(dw)) = (slot, dw) {
                    dw.put::<B>(gradients, &slot);
                }
            }
            if let Some(slot) = q_slot {
                device.add_gradient_buffer(gradients, &slot, dq);
            }
        }
    });
    graph.output_tensor(y, backward)
}
