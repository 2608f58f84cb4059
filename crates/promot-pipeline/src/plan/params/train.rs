//! How to train: what all training stages have in common.

use promot_model::optim::Decay;
use serde::Serialize;

use super::EvalTask;

/// Which optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adafactor as T5X computes it.
    Adafactor,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// How to train: what all training stages have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainParams {
    /// Optimizer steps.
    pub steps: u64,
    /// A checkpoint is measured every so many steps.
    pub checkpoint_every: u64,
    /// Rows in a batch.
    pub batch_size: usize,
    /// Parts a batch is computed in.
    pub micro_batches: usize,
    /// Compute activations again in the backward pass. Changes no bit, so it is not in the key.
    #[serde(skip)]
    pub recompute: bool,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// Adafactor only: multiply the learning rate by each parameter's root mean square.
    pub scale_by_parameter: bool,
    /// AdamW only: decoupled weight decay.
    pub weight_decay: f64,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which it rises.
    pub warmup: u64,
    /// What it does then.
    pub decay: Decay,
    /// The largest gradient norm, if limited.
    pub max_gradient_norm: Option<f64>,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Dropout.
    pub dropout: f64,
    /// Worked examples before each training row.
    pub shots: usize,
    /// Longer inputs are cut.
    pub max_input_tokens: Option<usize>,
    /// Keep every checkpoint in the artifact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_checkpoints: bool,
    /// Joint tuning only: the highest learning rate of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_learning_rate: Option<f64>,
    /// Foreign prompts that are answered while tuning goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftParams>,
    /// What chooses between checkpoints, if not the target's score alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<SelectParams>,
}

impl TrainParams {
    /// How many checkpoints there are.
    pub fn checkpoint_count(&self) -> u64 {
        self.steps.div_ceil(self.checkpoint_every)
    }

    /// The steps with a checkpoint: as often as the file says, and the last.
    pub fn checkpoints(&self) -> impl Iterator<Item = u64> {
        let (steps, every) = (self.steps, self.checkpoint_every);
        (1..=self.checkpoint_count()).map(move |i| i.saturating_mul(every).min(steps))
    }

    /// Whether there is a checkpoint after `step` steps.
    pub fn has_checkpoint(&self, step: u64) -> bool {
        let at_cadence = step > 0 && step.is_multiple_of(self.checkpoint_every);
        step == self.steps || (at_cadence && step < self.steps)
    }

    /// The tasks beside the tuned ones that training reads rows of.
    pub fn foreign_tasks(&self) -> impl Iterator<Item = &EvalTask> {
        let watched = self.drift.iter().map(|drift| &drift.on);
        let selecting = self.select.iter().map(|select| &select.on);
        watched.chain(selecting).flat_map(|on| &on.tasks)
    }
}

/// Foreign prompts that are answered while tuning goes on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftParams {
    /// They are answered before the first step, every so many steps, and after the last one.
    pub every: u64,
    /// What they are.
    #[serde(flatten)]
    pub on: ForeignParams,
    /// When tuning ends early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<StopWhen>,
}

/// What chooses between a stage's checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelectParams {
    /// What of the two decides.
    pub by: SelectBy,
    /// The foreign prompts, answered without the stage's prompt.
    #[serde(flatten)]
    pub on: ForeignParams,
}

/// What of the target's score and that of foreign prompts decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// Foreign prompts alone.
    NormalizedAverage,
    /// The mean of both: the checkpoint that has the highest lies on their frontier, since none that is
    /// better in one of them and no worse in the other has a lower mean.
    Frontier,
}

/// Prompts of tasks that a stage does not tune for, which it answers greedily.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForeignParams {
    /// The tasks.
    pub tasks: Vec<EvalTask>,
    /// Rows of each task: the first ones of its training split.
    pub rows: usize,
    /// Worked examples before each of them.
    pub shots: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
}

/// When tuning ends before its last step: as soon as one of these is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StopWhen {
    /// At least this share of the answers is in the target's format, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_share: Option<f64>,
    /// The score is below so many percent of that before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_below: Option<f64>,
}
