//! Which checkpoints a tuning stage keeps.

use super::params::{StageKind, TrainParams};
use super::read::Reference;
use crate::diagnostic::Diagnostics;

impl TrainParams {
    /// The steps that a checkpoint is made after: every `checkpoint_every`, and the last one.
    pub fn checkpoint_steps(&self) -> impl Iterator<Item = u64> {
        let due = 1..=(self.steps - 1) / self.checkpoint_every;
        let due = due.map(|i| i * self.checkpoint_every);
        due.chain([self.steps])
    }

    /// Whether there is one after `step` steps.
    pub fn has_checkpoint(&self, step: u64) -> bool {
        let at_cadence = step.is_multiple_of(self.checkpoint_every);
        (1..=self.steps).contains(&step) && (at_cadence || step == self.steps)
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

/// So many checkpoints are named to somebody who asked for another one.
const NAMED: usize = 20;

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
        return;
    }
    for &(step, place) in &reference.steps {
        if step != 0 && !train.has_checkpoint(step) {
            let mut steps = train.checkpoint_steps();
            let named = steps.by_ref().take(NAMED).map(|step| step.to_string());
            let named: Vec<String> = named.collect();
            let more = if steps.next().is_some() {
                " and more"
            } else {
                ""
            };
            diagnostics.push(
                place,
                format!("stage `{name}` has no checkpoint at step {step}"),
                Some(format!("there are 0, {}{more}", named.join(", "))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::OptimizerKind;
    use promot_model::optim::Decay;

    fn train(steps: u64, checkpoint_every: u64) -> TrainParams {
        TrainParams {
            steps,
            checkpoint_every,
            batch_size: 1,
            micro_batches: 1,
            recompute: false,
            optimizer: OptimizerKind::Adafactor,
            scale_by_parameter: true,
            weight_decay: 0.0,
            learning_rate: 0.1,
            warmup: 0,
            decay: Decay::Constant,
            max_gradient_norm: None,
            label_smoothing: 0.0,
            dropout: 0.0,
            shots: 0,
            max_input_tokens: None,
            keep_checkpoints: true,
            drift: None,
        }
    }

    #[test]
    fn checkpoints_are_at_the_cadence_and_after_the_last_step() {
        for (steps, every, expected) in [
            (250, 100, vec![100, 200, 250]),
            (200, 100, vec![100, 200]),
            (3, 100, vec![3]),
            (1, 1, vec![1]),
        ] {
            let train = train(steps, every);
            assert_eq!(train.checkpoint_steps().collect::<Vec<_>>(), expected);
            let found = (0..=steps + every).filter(|&step| train.has_checkpoint(step));
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
        assert!(train(u64::MAX, 2).has_checkpoint(u64::MAX));
    }
}
