//! Training: what is tuned, in which steps, with which checkpoints (paper section A.2.4).

mod error;
mod measure;
mod observe;
mod progress;
mod step;
#[cfg(test)]
mod tests;
mod tunables;

use std::path::Path;

use promot_core::{BatchSource, Event, EventSink, Seed, StopFlag};
use serde::{Deserialize, Serialize};

pub use error::TrainError;
pub use measure::{Measure, Measurement};
pub use observe::{EndedEarly, InTraining, Observe, Observed, Observer};
pub use progress::CheckpointRecord;
pub use tunables::{Tune, Tuned};

use crate::arch::Model;
use crate::backend::Backend;
use crate::checkpoint::CheckpointError;
use crate::lora::Lora;
use crate::ops::cross_entropy::LabelSmoothing;
use crate::optim::{self, Optimizer, Schedule};
use crate::prompt::SoftPrompt;
use progress::{Files, Progress};
use tunables::Tunables;

/// A device that models are trained on.
pub trait TrainingBackend: Backend + optim::Kernels {}

impl<D: Backend + optim::Kernels> TrainingBackend for D {}

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// What is tuned and what is frozen.
    pub tune: Tune,
    /// Optimizer steps.
    pub steps: u64,
    /// A checkpoint is saved and measured every so many steps, and after the last one.
    pub checkpoint_every: u64,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub schedule: Schedule,
    /// How prompts are updated, if not in the same way: where model and prompts are tuned at once, they
    /// want different things of an optimizer.
    pub prompts: Option<PromptUpdates>,
    /// The largest norm of all gradients together, if limited.
    pub max_gradient_norm: Option<f32>,
    /// Parts a batch is computed in, to save memory; gradients are those of the whole batch.
    pub micro_batches: usize,
    /// Compute activations again in the backward pass instead of keeping them; no result depends on
    /// it.
    pub recompute: bool,
    /// Label smoothing.
    pub smoothing: LabelSmoothing,
    /// Dropout, in [0, 1).
    pub dropout: f32,
    /// Where dropout masks come from.
    pub seed: Seed,
}

/// How prompts are updated.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptUpdates {
    /// Their optimizer.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub schedule: Schedule,
}

/// What training is connected to.
pub struct Surroundings<'a, B: Backend> {
    /// The name in events.
    pub stage: &'a str,
    /// Where the batches come from.
    pub batches: &'a dyn BatchSource,
    /// The directory of checkpoints; what an interrupted run left there is gone on from.
    pub directory: &'a Path,
    /// Takes progress events.
    pub events: &'a dyn EventSink,
    /// Stops training after the current step.
    pub stop: &'a StopFlag,
    /// Measures checkpoints. Without it, the last one is the best.
    pub measure: Option<&'a mut Measure<'a, B>>,
    /// Takes every checkpoint, if they are kept. It is called before the progress is saved, so a run that
    /// is killed meanwhile calls it again with the same values.
    pub keep: Option<&'a Keep<'a, B>>,
    /// Looks at what is trained between checkpoints, too, and may end training.
    pub observer: Option<Observer<'a, B>>,
}

/// Writes the checkpoint of a step: the model without LoRA's changes, and the adapters.
pub type Keep<'a, B> = dyn Fn(u64, &Model<B>, &Adapters) -> Result<(), CheckpointError> + 'a;

/// What stands beside a model: soft prompts, and LoRA's changes of its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapters {
    /// Soft prompts, which batches refer to by their places here.
    pub prompts: Vec<SoftPrompt>,
    /// Changes that are attached in every row.
    pub lora: Option<Lora>,
}

impl Adapters {
    /// Soft prompts alone.
    pub fn prompts(prompts: Vec<SoftPrompt>) -> Self {
        Self {
            prompts,
            lora: None,
        }
    }
}

/// A finished training run.
pub struct Trained<B: Backend> {
    /// The model at its best checkpoint, without LoRA's changes.
    pub model: Model<B>,
    /// The adapters at the best checkpoint.
    pub adapters: Adapters,
    /// The step of the best checkpoint: the highest choice, the earliest of equals.
    pub best_step: u64,
    /// All checkpoints in order.
    pub history: Vec<CheckpointRecord>,
    /// Where and why training ended, if before its last step.
    pub ended_early: Option<EndedEarly>,
}

/// What of a finished run is worth keeping beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The step of the best checkpoint.
    pub best_step: u64,
    /// All checkpoints in order.
    pub history: Vec<CheckpointRecord>,
    /// Where and why training ended, if before its last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<EndedEarly>,
}

/// Trains `model` or `adapters`, or goes on where an interrupted run stopped.
///
/// Interrupted or not, on one thread or two, the result has the same bits.
///
/// # Errors
/// [`TrainError::Stopped`] if asked to stop (a checkpoint is saved first), [`TrainError::NonFinite`]
/// if the loss is no number any more, [`TrainError::Device`] if the device fails (nothing that it computed
/// since its last check is saved), and whatever the file system says.
pub fn train<B: TrainingBackend>(
    model: Model<B>,
    adapters: &Adapters,
    options: &TrainOptions,
    surroundings: Surroundings<'_, B>,
) -> Result<Trained<B>, TrainError> {
    let Surroundings {
        stage,
        batches,
        directory,
        events,
        stop,
        mut measure,
        keep,
        mut observer,
    } = surroundings;
    let files = Files::open(directory)?;
    let mut tunables = Tunables::new(model, adapters, options.tune)?;
    let mut progress = Progress::default();
    if let Some((saved, values)) = files.newest()? {
        tunables.restore(values)?;
        progress = saved;
        if progress.step > 0 {
            events.emit(Event::StageResumed {
                stage: stage.to_owned(),
                step: progress.step,
            });
        }
    }
    let mut ended_early = None;
    // The mean loss since the last checkpoint is part of its record.
    loop {
        let step = progress.step;
        if let Some(observer) = &mut observer
            && observer.is_due(step, options.steps)
        {
            let seen = InTraining {
                step,
                model: &tunables.model,
                adapted: &tunables.answering_model()?,
                prompts: tunables.prompts(),
            };
            let observed = (observer.observe)(&seen);
            tunables.model.device().check()?;
            match observed {
                None => {
                    files.save(&progress, &tunables)?;
                    return Err(TrainError::Stopped { step });
                }
                // Before the first step there is nothing to keep, after the last one nothing to end.
                Some(Observed::Enough(reason)) if (1..options.steps).contains(&step) => {
                    ended_early = Some(EndedEarly { step, reason });
                }
                Some(_) => {}
            }
        }
        let is_last = step == options.steps || ended_early.is_some();
        if progress.is_due(options, is_last) {
            let measurement = match &mut measure {
                Some(measure) => {
                    let measurement = measure(&tunables.answering_model()?, tunables.prompts());
                    // A measure of a device that has failed counts for nothing, whatever it says.
                    tunables.model.device().check()?;
                    if measurement.is_none() {
                        files.save(&progress, &tunables)?;
                        return Err(TrainError::Stopped {
                            step: progress.step,
                        });
                    }
                    measurement
                }
                None => None,
            };
            let best = progress.record(measurement);
            if best {
                files.save_best(&progress, &tunables)?;
            }
            if let Some(keep) = keep {
                let adapters = tunables.adapters();
                tunables.model.device().check()?;
                keep(progress.step, &tunables.model, &adapters)?;
            }
            files.save(&progress, &tunables)?;
            if let Some(measurement) = measurement {
                events.emit(Event::Dev {
                    stage: stage.to_owned(),
                    step: progress.step,
                    value: measurement.target,
                    best,
                });
            }
        }
        if is_last {
            break;
        }
        if stop.is_requested() {
            files.save(&progress, &tunables)?;
            return Err(TrainError::Stopped {
                step: progress.step,
            });
        }
        let batch = batches.batch(progress.step);
        let done = tunables.step(&batch, options, progress.step + 1);
        // What a device that has failed computes is undefined: its error comes before that of the loss.
        tunables.model.device().check()?;
        let done = done?;
        progress.step += 1;
        progress.add_loss(done.loss);
        events.emit(Event::Step {
            stage: stage.to_owned(),
            step: progress.step,
            total: options.steps,
            loss: done.loss,
            learning_rate: f64::from(done.learning_rate),
            tokens: done.tokens,
        });
    }
    let best_step = progress.best_step().unwrap_or(progress.step);
    tunables.restore(files.best(best_step)?)?;
    let (model, adapters) = tunables.into_parts();
    model.device().check()?;
    Ok(Trained {
        model,
        adapters,
        best_step,
        history: progress.into_history(),
        ended_early,
    })
}
