//! Whole training steps of a small model, and decoding with it, in both precisions.

use std::cell::Cell;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use promot_benches::{peer::Case, random, stepwise};
use promot_core::Seed;
use promot_model::arch::{Model, T5, T5Config};
use promot_model::backend::Host;
use promot_model::gemm::Precision;
use promot_model::generate::GenerateOptions;
use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::{Adapters, TrainOptions};

const ROWS: usize = 16;
const VOCAB_SIZE: u32 = 4096;

fn model(precision: Precision) -> Model<Host> {
    let json = br#"{"vocab_size": 4096, "d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 3,
        "num_heads": 4, "feed_forward_proj": "gated-gelu"}"#;
    let config = T5Config::from_json(json).expect("a configuration");
    let device = Host::with_precision(precision);
    T5::new(&device, config, false, Seed::new(0)).into()
}

/// The time of `steps` steps of `case`; the checkpoint after the last one is not in it.
fn train(model: &Model<Host>, case: Case, steps: u64) -> Duration {
    let training = case.training().expect("a case that trains");
    let prompt = SoftPrompt::init(model, 20, PromptInit::Uniform, Seed::new(1));
    let prompts = if training.with_prompt {
        vec![prompt]
    } else {
        Vec::new()
    };
    let options = TrainOptions {
        steps,
        ..training.options(1e-3)
    };
    let directory = tempfile::tempdir().expect("a directory for a checkpoint");
    let total = Cell::new(Duration::ZERO);
    let next = |step| {
        let batch = random::batch(&format!("batch {}", step % 4), ROWS, VOCAB_SIZE);
        if training.with_prompt {
            batch.with_prompt(0)
        } else {
            batch
        }
    };
    let done = |step: stepwise::StepDone| total.set(total.get() + step.time);
    stepwise::run(
        model.clone(),
        &Adapters::prompts(prompts),
        &options,
        directory.path(),
        next,
        done,
    )
    .expect("training");
    total.get()
}

fn bench_steps(c: &mut Criterion) {
    for precision in [Precision::F32, Precision::Bf16] {
        let model = model(precision);
        let mut group = c.benchmark_group(format!("mini T5 {}", precision.name()));
        for (name, case) in [
            ("finetune step", Case::Finetune),
            ("model tune step", Case::ModelTune),
            ("prompt tune step", Case::PromptTune),
        ] {
            group.bench_function(name, |b| b.iter_custom(|steps| train(&model, case, steps)));
        }
        let inputs = random::batch("batch 0", ROWS, VOCAB_SIZE).inputs;
        for (name, beams) in [("greedy", 1), ("beam search of width 4", 4)] {
            let options = GenerateOptions {
                max_new_tokens: 8,
                beams,
                ..GenerateOptions::default()
            };
            group.bench_function(name, |b| {
                b.iter(|| model.generate(&inputs, &[], &vec![None; inputs.len()], &options));
            });
        }
        group.finish();
    }
}

fn few_samples() -> Criterion {
    Criterion::default().sample_size(10)
}

criterion_group! {
    name = benches;
    config = few_samples();
    targets = bench_steps
}
criterion_main!(benches);
