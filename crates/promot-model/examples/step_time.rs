//! How long an optimizer step of a small T5 takes: `cargo run --release --example step_time`.
//!
//! `step_time [model|prompt|generate|all] [steps] [batch rows]`; `RAYON_NUM_THREADS` sets the threads.

use std::cell::RefCell;
use std::error::Error;
use std::time::Instant;

use promot_core::{BatchSource, Event, Ragged, Seed, StopFlag, TokenBatch};
use promot_model::arch::{T5, T5Config};
use promot_model::backend::Host;
use promot_model::generate::{GenerateOptions, generate};
use promot_model::graph::Var;
use promot_model::ops::cross_entropy::LabelSmoothing;
use promot_model::optim::{AdafactorOptions, Optimizer, Schedule};
use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::{Surroundings, TrainOptions, Tune, train};
use rand::Rng as _;

const CONFIG: &[u8] = br#"{"vocab_size": 1600, "d_model": 128, "d_kv": 32, "d_ff": 256,
    "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}"#;
const PROMPT_LENGTH: usize = 20;
const VOCAB_SIZE: u32 = 1600;

/// Rows of random tokens: inputs of 20 to 60, targets of 2 to 10.
struct Random {
    rows: usize,
    prompt: bool,
}

impl BatchSource for Random {
    fn batch(&self, step: u64) -> TokenBatch {
        let mut stream = Seed::new(1).indexed_stream("step_time", "rows", step);
        let mut ragged = |shortest: usize, longest: usize| {
            let mut ragged = Ragged::new();
            for _ in 0..self.rows {
                let length = stream.random_range(shortest..=longest);
                let row: Vec<u32> = (0..length)
                    .map(|_| stream.random_range(2..VOCAB_SIZE))
                    .collect();
                ragged.push(&row);
            }
            ragged
        };
        let batch = TokenBatch::new(ragged(20, 60), ragged(2, 10));
        if self.prompt {
            batch.with_prompt(0)
        } else {
            batch
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "all".to_owned());
    let steps = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let rows = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let model = T5::new(
        &Host::new(),
        T5Config::from_json(CONFIG)?,
        false,
        Seed::new(1),
    );
    println!(
        "{} parameters, {rows} rows a batch, {} threads",
        model
            .parameters()
            .iter()
            .map(|parameter| Var::<Host>::constant(parameter.tensor.clone())
                .slice()
                .len())
            .sum::<usize>(),
        rayon::current_num_threads(),
    );
    if matches!(what.as_str(), "model" | "all") {
        time_steps("model tuning", &model, Tune::Model, steps, rows)?;
    }
    if matches!(what.as_str(), "prompt" | "all") {
        time_steps("prompt tuning", &model, Tune::Prompts, steps, rows)?;
    }
    if matches!(what.as_str(), "generate" | "all") {
        time_generation(&model, rows);
    }
    Ok(())
}

fn time_steps(
    name: &str,
    model: &T5<Host>,
    tune: Tune,
    steps: u64,
    rows: usize,
) -> Result<(), Box<dyn Error>> {
    let with_prompt = tune != Tune::Model;
    let prompts = with_prompt.then(|| {
        let init = PromptInit::Vocabulary { skip: 3 };
        SoftPrompt::init(model, PROMPT_LENGTH, init, Seed::new(2))
    });
    let options = TrainOptions {
        tune,
        steps,
        checkpoint_every: steps,
        optimizer: Optimizer::Adafactor(AdafactorOptions::default()),
        schedule: Schedule::constant(0.001),
        max_gradient_norm: None,
        micro_batches: 1,
        smoothing: LabelSmoothing::t5x(0.1),
        dropout: 0.1,
        seed: Seed::new(3),
    };
    let directory = tempfile::tempdir()?;
    // (seconds, tokens) of every step, and when the last one ended.
    let measured: RefCell<(Vec<(f64, u64)>, Option<Instant>)> = RefCell::default();
    let events = |event: Event| {
        if let Event::Step { tokens, .. } = event {
            let (steps, last) = &mut *measured.borrow_mut();
            let now = Instant::now();
            // The first step has no start; it warms caches and threads up.
            if let Some(last) = last.replace(now) {
                steps.push(((now - last).as_secs_f64(), tokens));
            }
        }
    };
    let surroundings = Surroundings {
        stage: "step_time",
        batches: &Random {
            rows,
            prompt: with_prompt,
        },
        directory: directory.path(),
        events: &events,
        stop: &StopFlag::new(),
        measure: None,
    };
    train(model.clone(), prompts.as_slice(), &options, surroundings)?;
    let (mut steps, _) = measured.into_inner();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(fastest, _)) = steps.first() else {
        return Err("at least 2 steps are needed".into());
    };
    let (median, tokens) = steps[steps.len() / 2];
    println!(
        "{name}: {:.1} ms/step (fastest {:.1}), {:.0} tokens/s",
        median * 1e3,
        fastest * 1e3,
        tokens as f64 / median,
    );
    Ok(())
}

fn time_generation(model: &T5<Host>, rows: usize) {
    let batch = Random {
        rows,
        prompt: false,
    }
    .batch(0);
    for beams in [1, 4] {
        let options = GenerateOptions {
            max_new_tokens: 16,
            beams,
            ..GenerateOptions::default()
        };
        let start = Instant::now();
        let answers = generate(model, &batch.inputs, &[], &batch.prompts, &options);
        let seconds = start.elapsed().as_secs_f64();
        let tokens: usize = answers.iter().map(Vec::len).sum();
        println!(
            "{beams} beam(s): {:.1} ms for {rows} rows, {:.0} tokens/s",
            seconds * 1e3,
            tokens as f64 / seconds,
        );
    }
}
