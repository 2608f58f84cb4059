//! From a stage's parameters to the options of training.

use promot_core::Seed;
use promot_model::ops::cross_entropy::LabelSmoothing;
use promot_model::optim::{AdafactorOptions, AdamWOptions, Optimizer, Schedule};
use promot_model::train::{PromptUpdates, TrainOptions, Tune};

use crate::plan::{OptimizerKind, TrainParams};

/// How `tune` is tuned; dropout masks come from `seed`.
pub(super) fn train_options(params: &TrainParams, tune: Tune, seed: Seed) -> TrainOptions {
    let optimizer = |scale_by_parameter: bool, factored: bool| match params.optimizer {
        OptimizerKind::Adafactor => Optimizer::Adafactor(AdafactorOptions {
            multiply_by_parameter_scale: scale_by_parameter,
            factored,
            ..AdafactorOptions::default()
        }),
        OptimizerKind::Adamw => Optimizer::AdamW(AdamWOptions {
            weight_decay: params.weight_decay as f32,
            ..AdamWOptions::default()
        }),
    };
    let schedule = |rate: f64| Schedule {
        base: rate as f32,
        warmup: params.warmup,
        decay: params.decay,
    };
    // Prompts keep all second moments, as in Lester et al. 2021; so do low-rank changes.
    let factored = !matches!(tune, Tune::Prompts | Tune::Lora);
    // Tuned together with the model, a prompt is still updated as it is alone: its moments are those
    // of few rows, and its values, which start anywhere, are no measure for how far they have to go.
    let prompts = params.prompt_learning_rate.map(|rate| PromptUpdates {
        optimizer: optimizer(false, false),
        schedule: schedule(rate),
    });
    TrainOptions {
        tune,
        steps: params.steps,
        checkpoint_every: params.checkpoint_every,
        optimizer: optimizer(params.scale_by_parameter, factored),
        schedule: schedule(params.learning_rate),
        prompts,
        max_gradient_norm: params.max_gradient_norm.map(|norm| norm as f32),
        micro_batches: params.micro_batches,
        recompute: params.recompute,
        smoothing: LabelSmoothing::t5x(params.label_smoothing as f32),
        dropout: params.dropout as f32,
        seed,
    }
}
