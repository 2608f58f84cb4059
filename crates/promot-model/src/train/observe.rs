//! Looking at what is trained while it is trained, and ending training early.

use serde::{Deserialize, Serialize};

use crate::arch::Model;
use crate::backend::Backend;
use crate::graph::Var;

/// What is trained, as it stands after some steps.
pub struct InTraining<'a, B: Backend> {
    /// Optimizer steps done; 0 before the first one.
    pub step: u64,
    /// The model without LoRA's changes.
    pub model: &'a Model<B>,
    /// The model with LoRA's changes, if there are any.
    pub adapted: &'a Model<B>,
    /// The soft prompts.
    pub prompts: &'a [Var<B>],
}

/// What an observer has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Training goes on.
    GoOn,
    /// Training ends here, for this reason: with a checkpoint, as if this were the last step.
    Enough(String),
}

/// Looks at what is trained; `None` asks to stop the run. Of the same step it says the same thing again: an
/// interrupted run asks once more where it goes on.
pub type Observe<'a, B> = dyn FnMut(&InTraining<'_, B>) -> Option<Observed> + 'a;

/// Who looks, and how often.
pub struct Observer<'a, B: Backend> {
    /// Asked before the first step, every so many steps, and after the last one.
    pub every: u64,
    /// What is asked.
    pub observe: &'a mut Observe<'a, B>,
}

impl<B: Backend> Observer<'_, B> {
    pub(super) fn is_due(&self, step: u64, steps: u64) -> bool {
        step.is_multiple_of(self.every.max(1)) || step == steps
    }
}

/// That training ended before its last step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedEarly {
    /// Optimizer steps done.
    pub step: u64,
    /// Why.
    pub reason: String,
}
