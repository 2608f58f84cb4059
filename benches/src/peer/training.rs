//! Training cases: `train` itself, one step for each request.

use std::path::Path;

use anyhow::Context as _;
use promot_core::TokenBatch;
use promot_model::checkpoint::load_model;
use promot_model::train::{Adapters, Tune};

use super::{Answer, Driver, Measured, Request, Training, Workload};
use crate::stepwise;

/// Answers the driver's requests with training steps. Returns only if something fails: `train` has
/// no end here, and leaving it regularly would save a checkpoint that nobody wants, so the process
/// ends when the driver says so.
///
/// # Errors
/// If the checkpoint or the batches cannot be read, or training fails.
pub fn work<B: Measured>(
    device: &B,
    checkpoint: &Path,
    batches: &Path,
    training: Training,
    about: String,
) -> anyhow::Result<()> {
    let model = load_model(device, checkpoint)?;
    let workload = Workload::read(batches, model.config().d_model())?;
    let adapters = Adapters::prompts(if training.with_prompt {
        vec![workload.prompt.clone()]
    } else {
        Vec::new()
    });
    let rates = &workload.learning_rates;
    let learning_rate = match training.tune {
        Tune::Model => rates.model,
        _ => rates.prompt,
    };
    let scratch = tempfile::tempdir().context("a directory for checkpoints")?;
    Driver.send(&Answer::Ready { about })?;

    let next = |_| match Driver.receive() {
        Ok(Request::Step(index)) => batch(&workload, index, training.with_prompt),
        Ok(Request::Quit) => {
            let peak_bytes = device.peak_bytes();
            let _ = std::fs::remove_dir_all(scratch.path());
            let said = Driver.send(&Answer::Bye { peak_bytes });
            std::process::exit(if said.is_ok() { 0 } else { 1 });
        }
        Err(error) => give_up(&error),
    };
    let done = |step: stepwise::StepDone| {
        let answer = Answer::Trained {
            seconds: step.time.as_secs_f64(),
            loss: step.loss,
        };
        if let Err(error) = Driver.send(&answer) {
            give_up(&error);
        }
    };
    stepwise::run(
        model,
        &adapters,
        &training.options(learning_rate),
        scratch.path(),
        next,
        done,
    )?;
    Ok(())
}

fn batch(workload: &Workload, index: usize, with_prompt: bool) -> TokenBatch {
    let batch = workload.batches[index % workload.batches.len()].clone();
    if with_prompt {
        batch.with_prompt(0)
    } else {
        batch
    }
}

/// Ends the process from within `train`, which has no way to hand on the error of a batch.
fn give_up(error: &anyhow::Error) -> ! {
    eprintln!("peer_worker: {error:#}");
    std::process::exit(1);
}
