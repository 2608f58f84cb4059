//! What a step of decoding gives.

use crate::backend::Backend;
use crate::graph::Var;
use crate::ops::top_tokens::NextToken;

/// The logits of the next token of every row. They stay where they were computed; what comes to the host
/// is what is asked for.
pub struct NextTokens<B: Backend> {
    device: B,
    logits: Var<B>,
}

impl<B: Backend> NextTokens<B> {
    /// Of `logits`, `(rows, V)`.
    pub fn new(device: &B, logits: Var<B>) -> Self {
        Self {
            device: device.clone(),
            logits,
        }
    }

    /// The logits themselves, row by row.
    pub fn logits(&self) -> Vec<f32> {
        self.device.download(self.logits.slice())
    }

    /// The most probable token of every row; of equals the first.
    pub fn best(&self) -> Vec<u32> {
        let (_, vocab_size) = self.logits.shape();
        self.device.best_tokens(self.logits.slice(), vocab_size)
    }

    /// The `count` most probable tokens of every row, best first; all, if there are fewer.
    pub fn top(&self, count: usize) -> Vec<Vec<NextToken>> {
        let (_, vocab_size) = self.logits.shape();
        let count = count.min(vocab_size);
        let found = self
            .device
            .top_tokens(self.logits.slice(), vocab_size, count);
        found.chunks(count.max(1)).map(<[_]>::to_vec).collect()
    }
}
