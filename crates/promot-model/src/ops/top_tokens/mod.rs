//! The most probable next tokens, from logits or from what they are computed from.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use super::{linear, scale};
use crate::backend::Device;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextToken {
    /// Its id.
    pub token: u32,
    /// The logarithm of its probability after what was decoded so far.
    pub log_probability: f32,
}

/// What logits are computed from: `scale * x wᵀ`.
pub struct Head<'a, D: Device> {
    /// `(rows, d_model)`.
    pub x: &'a D::Slice,
    /// `(V, d_model)`.
    pub w: &'a D::Tensor,
    /// Of the product; its columns are the vocabulary.
    pub sizes: linear::Sizes,
    /// What logits are multiplied with.
    pub scale: f32,
}

impl<D: linear::Kernels + scale::Kernels> Head<'_, D> {
    /// The logits, `(rows, V)`.
    pub fn logits(&self, device: &D) -> D::Buffer {
        let logits = device.linear(self.x, self.w, self.sizes);
        if self.scale == 1.0 {
            logits
        } else {
            device.scale(logits.as_ref(), self.scale)
        }
    }
}

/// The kernels that choose from `logits`, `(rows, V)`. A logit that is no number counts as minus
/// infinity.
pub trait Kernels: linear::Kernels + scale::Kernels {
    /// Each row's token with the largest logit; of equals the first.
    fn best_tokens(&self, logits: &Self::Slice, vocab_size: usize) -> Vec<u32>;

    /// Each row's `count` most probable tokens, or all if there are fewer, best first and of equals the
    /// first: one row after another.
    fn top_tokens(&self, logits: &Self::Slice, vocab_size: usize, count: usize) -> Vec<NextToken>;

    /// [`Self::best_tokens`] of the head's logits, which need not be written down for it.
    fn best_tokens_of(&self, head: &Head<'_, Self>) -> Vec<u32> {
        self.best_tokens(head.logits(self).as_ref(), head.sizes.out_features)
    }

    /// [`Self::top_tokens`] of the head's logits, which need not be written down for it.
    fn top_tokens_of(&self, head: &Head<'_, Self>, count: usize) -> Vec<NextToken> {
        self.top_tokens(head.logits(self).as_ref(), head.sizes.out_features, count)
    }
}
