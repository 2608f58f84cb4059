//! Attention to keys that lie in several places: to each place by itself, then put together.
//!
//! Decoding reads the keys of a prompt that its beams share, and those of each beam's own tokens;
//! nothing has to be copied to make one tensor of them.

use super::{Inputs, Layout, Problem};
use crate::backend::Backend;
use crate::graph::Var;

/// What queries found at some of the keys.
pub struct Part<B: Backend> {
    /// As if there were no other keys, `(Tq, H * d_kv)`.
    pub(in crate::ops) y: B::Buffer,
    /// How much that weighs, `(Tq, H)`: the log-sum-exp of the scores.
    pub(in crate::ops) log_sum_exp: B::Buffer,
}

/// The part of an attention that sees these keys and no others. Records nothing: decoding is not
/// differentiated.
///
/// # Panics
/// As [`attention`](super::attention).
pub fn attention_part<B: Backend>(
    device: &B,
    q: &Var<B>,
    k: &Var<B>,
    v: &Var<B>,
    layout: &Layout,
) -> Part<B> {
    let problem = Problem::new(q.shape(), k.shape(), v.shape(), None, layout);
    let inputs = Inputs {
        q: q.slice(),
        k: k.slice(),
        v: v.slice(),
        bias: None,
    };
    let (y, log_sum_exp) = device.attention(inputs, &problem);
    Part { y, log_sum_exp }
}

/// The attention to the keys of all `parts`, `(Tq, H * d_kv)`: their mean, weighted by the sums of
/// exponentials. A query that saw no key in any of them gets zeros.
///
/// # Panics
/// If there are no parts.
pub fn merge_parts<B: Backend>(
    device: &B,
    mut parts: Vec<Part<B>>,
    q_shape: (usize, usize),
    num_heads: usize,
) -> Var<B> {
    let last = parts.pop().expect("at least one part");
    let merged = if parts.is_empty() {
        last.y
    } else {
        parts.push(last);
        let slices: Vec<_> = parts
            .iter()
            .map(|part| (part.y.as_ref(), part.log_sum_exp.as_ref()))
            .collect();
        device.merge_attention(&slices, q_shape.1 / num_heads)
    };
    Var::constant(device.tensor(merged, q_shape))
}
