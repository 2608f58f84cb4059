//! `generate`: text in, text out.

use std::io::BufRead as _;
use std::path::Path;

use anyhow::Context as _;
use promot_core::{Ragged, StopFlag};
use promot_model::backend::{Backend, Host, set_threads};
use promot_model::checkpoint::{Adapter, CheckpointError, load_adapter};
use promot_model::gemm::Precision;
use promot_model::generate::{GenerateOptions, LengthPenalty};
use promot_model::graph::Var;
use promot_model::prompt::SoftPrompt;
use promot_pipeline::hub::{Hub, Repository, Watch};
use promot_pipeline::plan::ComputeDevice;
use promot_pipeline::run::{LoadedModel, RunError};

use super::args::{GenerateArgs, PenaltyKind};
use super::devices::open_gpu;
use super::failure::Failure;
use super::output::{print, tell};
use super::progress::Progress;

/// The model called `name`, which is downloaded if it is one of the hub and not here.
fn load<B: Backend>(name: &str, device: &B) -> Result<LoadedModel<B>, RunError> {
    let Some(name) = name.strip_prefix("hf:") else {
        return LoadedModel::named(name, device);
    };
    let hub = Hub::from_environment()?;
    let snapshot = hub.resolve(&Repository::model(name)?)?;
    let progress = Progress::on_screen();
    // Ctrl-C ends the process; what has arrived is on the disk.
    let watch = Watch {
        events: &progress,
        stop: &StopFlag::new(),
    };
    let directory = hub.fetch_model(&snapshot, &watch);
    progress.finish();
    LoadedModel::from_directory(&directory?, device)
}

/// A soft prompt on the model's device.
fn placed<B: Backend>(
    prompt: &SoftPrompt,
    directory: &Path,
    loaded: &LoadedModel<B>,
) -> Result<Var<B>, Failure> {
    let d_model = loaded.model.config().d_model();
    if prompt.d_model() != d_model {
        return Err(Failure::BadInput(format!(
            "error: the prompt in {} is {} wide, the model {d_model}\n  hint: a soft prompt only \
             fits the model it was tuned on",
            directory.display(),
            prompt.d_model()
        )));
    }
    Ok(Var::constant(prompt.to_tensor(loaded.model.device())))
}

/// Answers the texts given as arguments, or every line of standard input.
pub(crate) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    set_threads(0).context("threads").map_err(Failure::Failed)?;
    let found = args.device.find();
    if let Some(note) = &found.note {
        tell(note);
    }
    match found.device {
        ComputeDevice::Cpu => generate_on(&Host::new(), args),
        ComputeDevice::Cuda(index) => generate_on(&open_gpu(index, Precision::default())?, args),
    }
}

/// What is named and is not there is a wrong argument.
fn check_directory(option: &str, directory: &Path, expected: &str) -> Result<(), Failure> {
    if directory.is_dir() {
        return Ok(());
    }
    Err(Failure::BadInput(format!(
        "error: {option} {}: no such directory\n  hint: expected {expected}",
        directory.display()
    )))
}

/// So it is if a file of it cannot be read: a pipeline file that names it is bad input, too.
fn named(error: RunError) -> Failure {
    match error {
        RunError::Checkpoint(CheckpointError::Io { .. }) => {
            Failure::BadInput(format!("error: {error}"))
        }
        error => error.into(),
    }
}

fn generate_on<B: Backend>(device: &B, args: &GenerateArgs) -> Result<(), Failure> {
    if !args.model.starts_with("hf:") && !args.model.starts_with("builtin:") {
        let expected = "builtin:mini-t5, hf:owner/name, or a directory with config.json, \
                        model.safetensors and tokenizer.json";
        check_directory("--model", Path::new(&args.model), expected)?;
    }
    if let Some(directory) = &args.prompt {
        check_directory(
            "--prompt",
            directory,
            "a soft prompt or LoRA in PEFT's layout",
        )?;
    }
    let mut loaded = load(&args.model, device).map_err(named)?;
    let mut prompts = Vec::new();
    if let Some(directory) = &args.prompt {
        match load_adapter(directory).map_err(|error| named(error.into()))? {
            Adapter::Prompt(prompt) => prompts.push(placed(&prompt, directory, &loaded)?),
            Adapter::Lora(lora) => {
                let merged = lora.merged(&loaded.model);
                loaded.model = merged.map_err(|error| {
                    let directory = directory.display();
                    Failure::BadInput(format!(
                        "error: the adapter in {directory}: {error}\n  hint: an adapter only fits \
                         models of the kind it was tuned on"
                    ))
                })?;
            }
        }
    }
    let options = GenerateOptions {
        max_new_tokens: args.max_new_tokens as usize,
        beams: args.beams.into(),
        length_penalty: match args.length_penalty {
            PenaltyKind::Hf => LengthPenalty::HuggingFace {
                alpha: args.alpha.unwrap_or(1.0),
            },
            PenaltyKind::T5x => LengthPenalty::T5x {
                alpha: args.alpha.unwrap_or(0.6),
            },
        },
        ..GenerateOptions::default()
    };
    let answer = |text: &str| {
        let mut inputs = Ragged::new();
        inputs.push(&loaded.tokenizer.encode_input(text));
        let prompt_of = [(!prompts.is_empty()).then_some(0)];
        let outputs = loaded
            .model
            .generate(&inputs, &prompts, &prompt_of, &options);
        device.check().map_err(RunError::from)?;
        // A line for each text, whatever the model says.
        let line = loaded.tokenizer.decode(&outputs[0]).replace('\n', " ");
        print(&(line + "\n"))
    };
    if args.texts.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line =
                line.map_err(|error| Failure::BadInput(format!("error: standard input: {error}")))?;
            answer(&line)?;
        }
    }
    args.texts.iter().try_for_each(|text| answer(text))
}
