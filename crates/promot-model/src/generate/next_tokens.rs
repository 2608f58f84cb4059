//! What a step of decoding gives.

use crate::backend::Backend;
use crate::graph::Var;
use crate::ops::linear::Sizes;
use crate::ops::top_tokens::{Head, NextToken};

/// The logits of the next token of every row. They stay where they were computed, or are not computed before
/// they are asked for; what comes to the host is what is asked for.
pub struct NextTokens<B: Backend> {
    device: B,
    source: Source<B>,
}

enum Source<B: Backend> {
    /// `(rows, V)`.
    Logits(Var<B>),
    /// See [`Head`].
    States { x: Var<B>, w: Var<B>, scale: f32 },
}

impl<B: Backend> NextTokens<B> {
    /// Of `logits`, `(rows, V)`.
    pub fn new(device: &B, logits: Var<B>) -> Self {
        Self {
            device: device.clone(),
            source: Source::Logits(logits),
        }
    }

    /// Of the logits `scale * x wᵀ`: `x` is `(rows, d_model)`, `w`, the output head, `(V, d_model)`.
    ///
    /// They are computed whenever they are asked for.
    ///
    /// # Panics
    /// If the widths differ, or there are no columns or no tokens.
    pub fn of_states(device: &B, x: Var<B>, w: Var<B>, scale: f32) -> Self {
        assert_eq!(
            x.shape().1,
            w.shape().1,
            "width of the states and of the head"
        );
        assert!(w.shape().0 > 0 && w.shape().1 > 0, "an empty head");
        Self {
            device: device.clone(),
            source: Source::States { x, w, scale },
        }
    }

    /// The logits themselves, row by row.
    pub fn logits(&self) -> Vec<f32> {
        match &self.source {
            Source::Logits(logits) => self.device.download(logits.slice()),
            Source::States { x, w, scale } => {
                let logits = head(x, w, *scale).logits(&self.device);
                self.device.download(logits.as_ref())
            }
        }
    }

    /// The most probable token of every row; of equals the first.
    pub fn best(&self) -> Vec<u32> {
        match &self.source {
            Source::Logits(logits) => self.device.best_tokens(logits.slice(), logits.shape().1),
            Source::States { x, w, scale } => self.device.best_tokens_of(&head(x, w, *scale)),
        }
    }

    /// The `count` most probable tokens of every row, best first; all, if there are fewer.
    pub fn top(&self, count: usize) -> Vec<Vec<NextToken>> {
        let vocab_size = match &self.source {
            Source::Logits(logits) => logits.shape().1,
            Source::States { w, .. } => w.shape().0,
        };
        let count = count.min(vocab_size);
        let found = match &self.source {
            Source::Logits(logits) => self.device.top_tokens(logits.slice(), vocab_size, count),
            Source::States { x, w, scale } => self.device.top_tokens_of(&head(x, w, *scale), count),
        };
        found.chunks(count.max(1)).map(<[_]>::to_vec).collect()
    }
}

fn head<'a, B: Backend>(x: &'a Var<B>, w: &'a Var<B>, scale: f32) -> Head<'a, B> {
    let ((tokens, in_features), (out_features, _)) = (x.shape(), w.shape());
    Head {
        x: x.slice(),
        w: w.tensor(),
        sizes: Sizes {
            tokens,
            in_features,
            out_features,
        },
        scale,
    }
}
