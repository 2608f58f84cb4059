//! Multi-head and grouped-query attention over ragged sequences, with T5's relative position bias.

mod bias;
mod cpu;
mod cuda;
mod fixed;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use bias::{BucketMap, RelativeBias};
pub(super) use cpu::{Sequences, TokenRows};
pub use fixed::FixedKeys;
pub use parts::{Part, attention_part, merge_parts};

use super::dropout::DropoutKey;
use crate::backend::{Backend, Device, Shape};
use crate::graph::{Graph, Var};

/// Which queries see which keys, and how.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where each sequence's queries start, and the end of the last one: `[B + 1]`.
    pub q_offsets: Arc<[usize]>,
    /// The same for keys and values; `[0, Tk]` if they are shared.
    pub kv_offsets: Arc<[usize]>,
    /// Whether all sequences see the same keys and values. There is no backward pass of that.
    pub shared_keys: bool,
    /// Heads (H); queries have `H * d_kv` columns.
    pub num_heads: usize,
    /// Heads of keys and values (G), which have `G * d_kv` columns: as many as `num_heads`, or fewer
    /// that groups of `H / G` neighbouring heads share.
    pub num_kv_heads: usize,
    /// Whether a query sees only the keys up to its own position. The last query of a sequence
    /// stands at the position of its last key, so that cached decoding needs no other flag.
    pub causal: bool,
    /// Scores are `scale * q · k`; 1 in T5.
    pub scale: f32,
    /// Dropout of the attention probabilities.
    pub dropout: Option<DropoutKey>,
}

/// What the kernels of [`attention`] need to know.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which queries see which keys.
    pub layout: Layout,
    /// Columns of one head.
    pub d_kv: usize,
    /// How positions become rows of the bias table, if there is one.
    pub buckets: Option<BucketMap>,
}

impl Problem {
    /// Checks shapes and offsets.
    pub(super) fn new(
        (q_tokens, width): Shape,
        k: Shape,
        v: Shape,
        bias: Option<(Shape, BucketMap)>,
        layout: &Layout,
    ) -> Self {
        let (heads, kv_heads) = (layout.num_heads, layout.num_kv_heads);
        assert_eq!(k, v, "attention: keys and values");
        assert_eq!(width % heads, 0, "attention: columns divide into heads");
        let d_kv = width / heads;
        assert_eq!(k.1, kv_heads * d_kv, "attention: columns of keys");
        assert_eq!(heads % kv_heads, 0, "attention: heads divide into groups");
        let (q_offsets, kv_offsets) = (&layout.q_offsets, &layout.kv_offsets);
        if layout.shared_keys {
            assert_eq!(kv_offsets.len(), 2, "attention: shared keys");
        } else {
            assert_eq!(q_offsets.len(), kv_offsets.len(), "attention: sequences");
        }
        assert_eq!(
            q_offsets.last(),
            Some(&q_tokens),
            "attention: query offsets"
        );
        assert_eq!(kv_offsets.last(), Some(&k.0), "attention: key offsets");
        if let Some((table, buckets)) = bias {
            let expected = (buckets.num_buckets, heads);
            assert_eq!(table, expected, "attention: bias");
        }
        Self {
            layout: layout.clone(),
            d_kv,
            buckets: bias.map(|(_, buckets)| buckets),
        }
    }
}

/// Tensors that go into [`attention`].
pub struct Inputs<'a, S: ?Sized> {
    /// Queries, `(Tq, H * d_kv)`.
    pub q: &'a S,
    /// Keys, `(Tk, G * d_kv)`.
    pub k: &'a S,
    /// Values, `(Tk, G * d_kv)`.
    pub v: &'a S,
    /// Bias table, `(num_buckets, H)`.
    pub bias: Option<&'a S>,
}

/// Gradients that come out of [`attention`]: of its queries, keys, values and bias table.
pub struct InputGradients<B> {
    /// `(Tq, H * d_kv)`.
    pub dq: B,
    /// `(Tk, G * d_kv)`.
    pub dk: B,
    /// `(Tk, G * d_kv)`.
    pub dv: B,
    /// `(num_buckets, H)`, if asked for.
    pub dbias: Option<B>,
}

/// The kernels of [`attention`].
pub trait Kernels: Device {
    /// The output, `(Tq, H * d_kv)`, and the log-sum-exp of every query's scores, `(Tq, H)`.
    fn attention(
        &self,
        inputs: Inputs<'_, Self::Slice>,
        problem: &Problem,
    ) -> (Self::Buffer, Self::Buffer);
    /// Keys and values, `(Tk, G * d_kv)`, in the order and the numbers in which attention reads them
    /// best.
    type FixedKeys: 'static;
    /// The keys and the values of sequences that start at `kv_offsets`, for [`FixedKeys`].
    fn fix_keys(
        &self,
        tensors: [Self::Tensor; 2],
        kv_offsets: &[usize],
        num_kv_heads: usize,
    ) -> Self::FixedKeys;
    /// As [`Self::attention`], of queries that see all keys of their sequence.
    fn attention_to_fixed(
        &self,
        q: &Self::Slice,
        keys: &Self::FixedKeys,
        problem: &Problem,
    ) -> (Self::Buffer, Self::Buffer);
    /// The mean of outputs `(Tq, H * d_kv)`, weighted by the exponentials of the log-sum-exps
    /// `(Tq, H)` beside them.
    fn merge_attention(&self, parts: &[(&Self::Slice, &Self::Slice)], d_kv: usize) -> Self::Buffer;
    /// The gradients; probabilities are computed again from the log-sum-exp.
    fn attention_backward(
        &self,
        dy: &Self::Slice,
        y: &Self::Slice,
        log_sum_exp: &Self::Slice,
        inputs: Inputs<'_, Self::Slice>,
        problem: &Problem,
        with_bias: bool,
    ) -> InputGradients<Self::Buffer>;
}

/// `softmax(scale * q kᵀ + bias) v` within each sequence and head.
///
/// Neither scores nor probabilities outlive one strip of one sequence and head: the backward pass
/// computes them again from the log-sum-exp. A query that sees no key gives zeros.
///
/// # Panics
/// If the shapes or offsets do not fit, or a bias table has not one column a head.
pub fn attention<B: Backend>(
    graph: &mut Graph<B>,
    q: &Var<B>,
    k: &Var<B>,
    v: &Var<B>,
    bias: Option<&RelativeBias<B>>,
    layout: &Layout,
) -> Var<B> {
    let bias_shape = bias.map(|bias| (bias.table.shape(), bias.buckets));
    let problem = Problem::new(q.shape(), k.shape(), v.shape(), bias_shape, layout);
    let device = graph.device().clone();
    let inputs = Inputs {
        q: q.slice(),
        k: k.slice(),
        v: v.slice(),
        bias: bias.map(|bias| bias.table.slice()),
    };
    let (y, log_sum_exp) = device.attention(inputs, &problem);
    let y = device.tensor(y, q.shape());

    let mut sources = vec![q, k, v];
    sources.extend(bias.map(|bias| &bias.table));
    let backward = graph.records(&sources).then(|| {
        assert!(
            !layout.shared_keys,
            "attention: shared keys have no gradient"
        );
        let slots = [q.slot(), k.slot(), v.slot()];
        let bias_slot = bias.and_then(|bias| bias.table.slot());
        let tensors = [q, k, v].map(|var| var.tensor().clone());
        let bias = bias.map(|bias| bias.table.tensor().clone());
        let y = y.clone();
        move |gradients: &mut B::Gradients, dy: B::Buffer| {
            let inputs = Inputs {
                q: B::slice(&tensors[0]),
                k: B::slice(&tensors[1]),
                v: B::slice(&tensors[2]),
                bias: bias.as_ref().map(B::slice),
            };
            let out = device.attention_backward(
                dy.as_ref(),
                B::slice(&y),
                log_sum_exp.as_ref(),
                inputs,
                &problem,
                bias_slot.is_some(),
            );
            let pairs = slots.into_iter().zip([out.dq, out.dk, out.dv]);
            for (slot, gradient) in pairs.chain(out.dbias.map(|dbias| (bias_slot, dbias))) {
                if let Some(slot) = slot {
                    device.add_gradient_buffer(gradients, &slot, gradient);
                }
            }
        }
    });
    graph.output_tensor(y, backward)
}
