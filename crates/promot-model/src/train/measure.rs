//! What chooses between checkpoints.

use crate::arch::Model;
use crate::graph::Var;

/// Measures a model, which has LoRA's changes in it, and its soft prompts; `None` asks to stop.
pub type Measure<'a, B> = dyn FnMut(&Model<B>, &[Var<B>]) -> Option<Measurement> + 'a;

/// What a measure says of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The target task's own metric on rows held out for selection, in [0, 100].
    pub target: f64,
    /// The score of tasks that are not tuned for, in [0, 100], if it is part of the choice.
    pub foreign: Option<f64>,
    /// What decides: of all checkpoints the one with the highest is taken.
    pub choice: f64,
}

impl From<f64> for Measurement {
    /// The target's score alone decides.
    fn from(target: f64) -> Self {
        Self {
            target,
            foreign: None,
            choice: target,
        }
    }
}
