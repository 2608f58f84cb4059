//! What is measured: three ways of training and two of decoding.

use clap::ValueEnum;
use promot_core::Seed;
use promot_model::ops::cross_entropy::{LabelSmoothing, SmoothingConvention};
use promot_model::optim::{AdafactorOptions, Optimizer, Schedule};
use promot_model::train::{TrainOptions, Tune};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Case {
    /// The model is tuned, without a soft prompt.
    Finetune,
    /// The model is tuned after a soft prompt that stays as it is.
    ModelTune,
    /// The soft prompt is tuned before a model that stays as it is.
    PromptTune,
    /// Greedy decoding.
    Greedy,
    /// Beam search of width 4.
    Beam4,
}

/// A way of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// What is tuned.
    pub tune: Tune,
    /// Whether the soft prompt stands before every input.
    pub with_prompt: bool,
}

impl Case {
    /// How the case trains; `None` if it decodes.
    pub fn training(self) -> Option<Training> {
        let (tune, with_prompt) = match self {
            Self::Finetune => (Tune::Model, false),
            Self::ModelTune => (Tune::Model, true),
            Self::PromptTune => (Tune::Prompts, true),
            Self::Greedy | Self::Beam4 => return None,
        };
        Some(Training { tune, with_prompt })
    }

    /// The beam width if the case decodes.
    pub fn beams(self) -> usize {
        if self == Self::Beam4 { 4 } else { 1 }
    }
}

impl Training {
    /// Options with PyTorch's label smoothing and Adafactor as transformers computes it: nothing
    /// is scaled by the parameter, and every matrix is factored, the soft prompt too.
    ///
    /// There is no last step and no checkpoint: the driver says when it is enough.
    pub fn options(self, learning_rate: f32) -> TrainOptions {
        TrainOptions {
            tune: self.tune,
            steps: u64::MAX,
            checkpoint_every: u64::MAX,
            optimizer: Optimizer::Adafactor(AdafactorOptions {
                multiply_by_parameter_scale: false,
                // Vectors are matrices of one row here; they are not factored.
                min_dim_size_to_factor: 2,
                ..AdafactorOptions::default()
            }),
            schedule: Schedule::constant(learning_rate),
            prompts: None,
            max_gradient_norm: None,
            micro_batches: 1,
            recompute: false,
            smoothing: LabelSmoothing {
                epsilon: 0.1,
                convention: SmoothingConvention::AllClasses,
            },
            dropout: 0.0,
            seed: Seed::new(0),
        }
    }
}
