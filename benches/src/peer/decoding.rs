//! Decoding cases: `generate`, a batch for each request.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use promot_model::arch::{EndTokens, Model, ModelConfig};
use promot_model::backend::Backend;
use promot_model::checkpoint::parse_tensors;
use promot_model::generate::{GenerateOptions, LengthPenalty};

use super::{Answer, Case, Driver, Measured, Request, Workload};

/// Answers the driver's requests with decoded batches until it has enough.
///
/// # Errors
/// If the checkpoint or the batches cannot be read, or nobody listens.
pub fn work<B: Measured>(
    device: &B,
    checkpoint: &Path,
    batches: &Path,
    case: Case,
    about: String,
) -> anyhow::Result<()> {
    let model = load_without_end(device, checkpoint)?;
    let workload = Workload::read(batches, model.config().d_model())?;
    let options = GenerateOptions {
        max_new_tokens: workload.new_tokens,
        beams: case.beams(),
        length_penalty: LengthPenalty::HuggingFace { alpha: 1.0 },
        ..GenerateOptions::default()
    };
    Driver.send(&Answer::Ready { about })?;
    while let Request::Step(index) = Driver.receive()? {
        let inputs = &workload.batches[index % workload.batches.len()].inputs;
        let started = Instant::now();
        let answers = model.generate(inputs, &[], &vec![None; inputs.len()], &options);
        device.check()?;
        let seconds = started.elapsed().as_secs_f64();
        Driver.send(&Answer::Decoded { seconds, answers })?;
    }
    Driver.send(&Answer::Bye {
        peak_bytes: device.peak_bytes(),
    })
}

/// Loads a model whose answers never end before the largest number of tokens.
///
/// The other side forbids the end token until then. Here the end token gets an id outside of the
/// vocabulary, so that no token is it; the token that it was is one like the others, which of
/// 32128 tokens hardly ever makes a difference.
fn load_without_end<B: Backend>(device: &B, directory: &Path) -> anyhow::Result<Model<B>> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let mut config = ModelConfig::from_json(&read("config.json")?)?;
    match &mut config {
        ModelConfig::T5(config) => config.eos_token_id = u32::MAX,
        ModelConfig::Llama(config) => config.eos_token_id = EndTokens::One(u32::MAX),
    }
    let tensors = parse_tensors(&read("model.safetensors")?)?;
    Ok(Model::from_tensors(device, config, tensors)?)
}
