//! The most probable next tokens, from logits.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::Device;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextToken {
    /// Its id.
    pub token: u32,
    /// The logarithm of its probability after what was decoded so far.
    pub log_probability: f32,
}

/// The kernels that choose from `logits`, `(rows, V)`. A logit that is no number counts as minus
/// infinity.
pub trait Kernels: Device {
    /// Each row's token with the largest logit; of equals the first.
    fn best_tokens(&self, logits: &Self::Slice, vocab_size: usize) -> Vec<u32>;

    /// Each row's `count` most probable tokens, or all if there are fewer, best first and of equals the
    /// first: one row after another.
    fn top_tokens(&self, logits: &Self::Slice, vocab_size: usize, count: usize) -> Vec<NextToken>;
}
