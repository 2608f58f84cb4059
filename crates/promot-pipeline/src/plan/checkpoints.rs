//! Which checkpoints a tuning stage keeps.

use super::params::{StageKind, TrainParams};
use super::read::Reference;
use crate::diagnostic::Diagnostics;

impl TrainParams {
    /// The steps that a checkpoint is made after: every `checkpoint_every`, and the last one.
    pub fn checkpoint_steps(&self) -> Vec<u64> {
        let due = 1..=(self.steps - 1) / self.checkpoint_every;
        let due = due.map(|i| i * self.checkpoint_every);
        due.chain([self.steps]).collect()
    }
}

impl StageKind {
    /// How the stage trains, if it does.
    pub fn train(&self) -> Option<&TrainParams> {
        match self {
            Self::Pretrain(params) => Some(&params.train),
            Self::PromptTune(params) => Some(&params.train),
            Self::LoraTune(params) => Some(&params.train),
            Self::ModelTune(params) => Some(&params.train),
            Self::Data(_) | Self::Mix(_) | Self::Eval(_) | Self::Gradients(_) => None,
        }
    }
}

/// Finds checkpoints that a stage of this kind does not keep.
pub(super) fn check_kept(reference: &Reference, kind: &StageKind, diagnostics: &mut Diagnostics) {
    let Some(train) = kind.train() else {
        return;
    };
    let name = &reference.name;
    if !train.keep_checkpoints {
        diagnostics.push(
            reference.place,
            format!("stage `{name}` does not keep its checkpoints"),
            Some(format!("add `keep_checkpoints: true` to `{name}`")),
        );
    }
    let steps = train.checkpoint_steps();
    for &(step, place) in &reference.steps {
        if step != 0 && !steps.contains(&step) {
            let list: Vec<String> = steps.iter().map(u64::to_string).collect();
            diagnostics.push(
                place,
                format!("stage `{name}` has no checkpoint at step {step}"),
                Some(format!("there are 0, {}", list.join(", "))),
            );
        }
    }
}
