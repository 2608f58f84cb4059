//! Attention to keys that stay as they are while many steps of decoding read them: those of an
//! encoded source, or of the tokens that a prompt begins with.

use std::sync::Arc;

use super::{Layout, Part, Problem};
use crate::backend::{Backend, Shape};
use crate::graph::Var;

/// Keys and values in the order and the numbers in which their device reads them best.
pub struct FixedKeys<B: Backend> {
    keys: B::FixedKeys,
    kv_offsets: Arc<[usize]>,
    num_kv_heads: usize,
    /// Tokens (Tk), and columns of all heads.
    shape: Shape,
}

impl<B: Backend> FixedKeys<B> {
    /// Keys `k` and values `v`, `(Tk, G * d_kv)` each, of sequences that start at `kv_offsets`,
    /// `[B + 1]`; `num_kv_heads` is G.
    ///
    /// # Panics
    /// If the shapes or offsets do not fit.
    pub fn new(
        device: &B,
        k: &Var<B>,
        v: &Var<B>,
        kv_offsets: &Arc<[usize]>,
        num_kv_heads: usize,
    ) -> Self {
        let shape = k.shape();
        assert_eq!(shape, v.shape(), "fixed keys: keys and values");
        assert_eq!(shape.1 % num_kv_heads, 0, "fixed keys: columns of heads");
        assert_eq!(kv_offsets.last(), Some(&shape.0), "fixed keys: offsets");
        let tensors = [k.tensor().clone(), v.tensor().clone()];
        Self {
            keys: device.fix_keys(tensors, kv_offsets, num_kv_heads),
            kv_offsets: kv_offsets.clone(),
            num_kv_heads,
            shape,
        }
    }

    /// Tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.shape.0
    }

    /// The part of an attention that sees these keys and no others, as
    /// [`attention_part`](super::attention_part). Every query of a sequence sees all of its keys.
    ///
    /// # Panics
    /// If the layout is not that of these keys, is causal or has dropout, or as
    /// [`attention`](super::attention).
    pub fn attention_part(&self, device: &B, q: &Var<B>, layout: &Layout) -> Part<B> {
        assert_eq!(layout.kv_offsets, self.kv_offsets, "fixed keys: offsets");
        assert_eq!(layout.num_kv_heads, self.num_kv_heads, "fixed keys: heads");
        assert!(
            !layout.causal && layout.dropout.is_none(),
            "fixed keys: all of them are seen"
        );
        let problem = Problem::new(q.shape(), self.shape, self.shape, None, layout);
        let (y, log_sum_exp) = device.attention_to_fixed(q.slice(), &self.keys, &problem);
        Part { y, log_sum_exp }
    }
}
