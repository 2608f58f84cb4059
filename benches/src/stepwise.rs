//! `train` as a clock sees it: a callback before each step, and one after it with the time it took.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use promot_core::{BatchSource, Event, EventSink, StopFlag, TokenBatch};
use promot_model::arch::Model;
use promot_model::train::{
    Adapters, Surroundings, TrainError, TrainOptions, Trained, TrainingBackend, train,
};

/// A finished step.
#[derive(Clone, Copy, Debug)]
pub struct StepDone {
    /// From the batch being handed over until the step's event: loss, gradients and update.
    pub time: Duration,
    /// The mean loss over target tokens, in nats.
    pub loss: f64,
}

/// Stands on both sides of a step: hands the batches over and takes the events.
struct Stopwatch<B, N, D> {
    device: B,
    next: N,
    done: D,
    started: Cell<Instant>,
}

impl<B, N: Fn(u64) -> TokenBatch, D> BatchSource for Stopwatch<B, N, D> {
    fn batch(&self, step: u64) -> TokenBatch {
        let batch = (self.next)(step);
        self.started.set(Instant::now());
        batch
    }
}

impl<B: TrainingBackend, N, D: Fn(StepDone)> EventSink for Stopwatch<B, N, D> {
    fn emit(&self, event: Event) {
        // A step ends with its update, for which training itself does not wait. What fails here is told
        // by the next step.
        let _ = self.device.check();
        let time = self.started.get().elapsed();
        if let Event::Step { loss, .. } = event {
            (self.done)(StepDone { time, loss });
        }
    }
}

/// Trains as `options` say. `next` gives the batch of a step (from 0) and may take its time;
/// `done` hears of the step. Neither is part of the measured time, nor are checkpoints.
///
/// # Errors
/// As [`train`].
pub fn run<B: TrainingBackend>(
    model: Model<B>,
    adapters: &Adapters,
    options: &TrainOptions,
    directory: &Path,
    next: impl Fn(u64) -> TokenBatch,
    done: impl Fn(StepDone),
) -> Result<Trained<B>, TrainError> {
    let stopwatch = Stopwatch {
        device: model.device().clone(),
        next,
        done,
        started: Cell::new(Instant::now()),
    };
    let surroundings = Surroundings {
        stage: "benchmark",
        batches: &stopwatch,
        directory,
        events: &stopwatch,
        stop: &StopFlag::new(),
        measure: None,
        keep: None,
        observer: None,
    };
    train(model, adapters, options, surroundings)
}
