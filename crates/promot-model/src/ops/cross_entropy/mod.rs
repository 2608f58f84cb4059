//! Label-smoothed cross-entropy of a language model's head, over chunks of the vocabulary.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};

/// Which classes share the mass that label smoothing takes from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmoothingConvention {
    /// T5X: the other V - 1 classes; the constant entropy of the smoothed target is subtracted, so
    /// that a perfect prediction has loss 0 (`t5x.losses.compute_weighted_cross_entropy`).
    OtherClasses,
    /// PyTorch and Hugging Face: all V classes, nothing subtracted
    /// (`torch.nn.functional.cross_entropy`).
    AllClasses,
}

/// Label smoothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelSmoothing {
    /// Mass taken from the target, in [0, 1).
    pub epsilon: f32,
    /// Where it goes.
    pub convention: SmoothingConvention,
}

impl LabelSmoothing {
    /// None at all.
    pub const NONE: Self = Self {
        epsilon: 0.0,
        convention: SmoothingConvention::OtherClasses,
    };

    /// As T5X smooths.
    pub fn t5x(epsilon: f32) -> Self {
        Self {
            epsilon,
            ..Self::NONE
        }
    }

    /// (weight of the target, weight of every other class, constant that is subtracted).
    pub(crate) fn weights(self, vocab_size: usize) -> (f32, f32, f32) {
        let (epsilon, classes) = (f64::from(self.epsilon), vocab_size as f64);
        let (target, other, constant) = match self.convention {
            SmoothingConvention::OtherClasses => {
                let (target, other) = (1.0 - epsilon, epsilon / (classes - 1.0).max(1.0));
                let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
                (
                    target,
                    other,
                    entropy(target) + (classes - 1.0) * entropy(other),
                )
            }
            SmoothingConvention::AllClasses => {
                let other = epsilon / classes;
                (1.0 - epsilon + other, other, 0.0)
            }
        };
        (target as f32, other as f32, constant as f32)
    }
}

/// What the kernels of [`cross_entropy`] need to know.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The right class of every row: `[T]`.
    pub targets: Arc<[u32]>,
    /// Columns of the hidden states and of the head (D).
    pub width: usize,
    /// Rows of the head (V).
    pub vocab_size: usize,
    /// Logits are `logit_scale * hidden · head`.
    pub logit_scale: f32,
    /// Label smoothing.
    pub smoothing: LabelSmoothing,
}

/// The kernels of [`cross_entropy`].
pub trait Kernels: Device {
    /// The mean loss in nats, and every row's log-sum-exp of logits, `[T]`, for the backward pass.
    fn cross_entropy(
        &self,
        hidden: &Self::Slice,
        head: &Self::Tensor,
        problem: &Problem,
    ) -> (Self::Buffer, Self::Buffer);
    /// Adds the gradients, times `seed[0]`, where they are wanted.
    #[allow(clippy::too_many_arguments)] // two outputs and what they are computed from
    fn cross_entropy_backward(
        &self,
        dhidden: Option<&mut Self::Slice>,
        dhead: Option<&mut Self::Slice>,
        seed: &Self::Slice,
        log_sum_exp: &Self::Slice,
        hidden: &Self::Slice,
        head: &Self::Tensor,
        problem: &Problem,
    );
}

/// The mean over rows of the label-smoothed cross-entropy, in nats, as a `(1, 1)` tensor.
///
/// `hidden` is `(T, D)`, `head` is `(V, D)`. The `(T, V)` logits never exist at once: both passes
/// compute them a chunk of the vocabulary at a time.
///
/// # Panics
/// If the widths differ, there is not one target a row, none at all, or one outside of `head`.
pub fn cross_entropy<B: Backend>(
    graph: &mut Graph<B>,
    hidden: &Var<B>,
    head: &Var<B>,
    targets: &[u32],
    smoothing: LabelSmoothing,
    logit_scale: f32,
) -> Var<B> {
    let ((tokens, width), (vocab_size, head_width)) = (hidden.shape(), head.shape());
    assert_eq!(width, head_width, "cross_entropy: widths");
    assert_eq!(tokens, targets.len(), "cross_entropy: one target a row");
    assert!(tokens > 0, "cross_entropy: at least one row");
    assert!(
        targets.iter().all(|&target| (target as usize) < vocab_size),
        "cross_entropy: targets below {vocab_size}"
    );
    let problem = Problem {
        targets: targets.into(),
        width,
        vocab_size,
        logit_scale,
        smoothing,
    };
    let device = graph.device().clone();
    let (loss, log_sum_exp) = device.cross_entropy(hidden.slice(), head.tensor(), &problem);
    let backward = graph.records(&[hidden, head]).then(|| {
        let (hidden_slot, head_slot) = (hidden.slot(), head.slot());
        let (hidden, head) = (hidden.tensor().clone(), head.tensor().clone());
        move |gradients: &mut B::Gradients, seed: B::Buffer| {
            let hidden = B::slice(&hidden);
            let run = |dhidden: Option<&mut B::Slice>, dhead: Option<&mut B::Slice>| {
                let (seed, saved) = (seed.as_ref(), log_sum_exp.as_ref());
                device.cross_entropy_backward(dhidden, dhead, seed, saved, hidden, &head, &problem);
            };
            // Both gradients come from the same logits, so they are computed together.
            match (hidden_slot, head_slot) {
                (Some(hidden_slot), Some(head_slot)) => {
                    let mut dhead = B::take_gradient(gradients, &head_slot);
                    B::add_gradient(gradients, &hidden_slot, |dhidden| {
                        run(Some(dhidden), Some(dhead.as_mut()));
                    });
                    B::put_gradient(gradients, &head_slot, dhead);
                }
                (Some(slot), None) => {
                    B::add_gradient(gradients, &slot, |dhidden| run(Some(dhidden), None));
                }
                (None, Some(slot)) => {
                    B::add_gradient(gradients, &slot, |dhead| run(None, Some(dhead)));
                }
                (None, None) => {}
            }
        }
    });
    graph.output(loss, (1, 1), backward)
}
