//! How the time of a training step grows with its sizes, as Markdown with charts.

use std::cell::RefCell;
use std::fmt::Write as _;

use promot_core::{Seed, TokenBatch};
use promot_model::arch::{Model, T5, T5Config};
use promot_model::backend::Host;
use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::{Adapters, TrainOptions};

use crate::peer::Case;
use crate::{random, stepwise};

const VOCAB_SIZE: u32 = 4096;
/// Steps of which the median counts, after one to warm up.
const STEPS: u64 = 5;

/// The sizes of a step; one of them is varied at a time.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    /// Of every input.
    tokens: usize,
    d_model: usize,
    prompt_rows: usize,
}

const USUAL: Sizes = Sizes {
    rows: 16,
    tokens: 100,
    d_model: 256,
    prompt_rows: 50,
};

/// What is varied: a title, the values, and the sizes that each makes.
type Series = (&'static str, &'static [usize], fn(usize) -> Sizes);

const SERIES: [Series; 4] = [
    ("rows in a batch", &[4, 8, 16, 32, 64], |rows| Sizes {
        rows,
        ..USUAL
    }),
    ("tokens of an input", &[25, 50, 100, 200, 400], |tokens| {
        Sizes { tokens, ..USUAL }
    }),
    ("d_model", &[64, 128, 256, 512], |d_model| Sizes {
        d_model,
        ..USUAL
    }),
    ("rows of the soft prompt", &[0, 25, 50, 100, 200], |rows| {
        Sizes {
            prompt_rows: rows,
            ..USUAL
        }
    }),
];

/// A section for each size: a table and a chart of milliseconds a model-tune step.
///
/// # Errors
/// If a training run cannot write its files.
pub fn report(device: &Host) -> anyhow::Result<String> {
    let mut text = String::new();
    for (title, values, sizes) in SERIES {
        let times = values
            .iter()
            .map(|&value| milliseconds(device, sizes(value)))
            .collect::<anyhow::Result<Vec<f64>>>()?;
        section(&mut text, title, values, &times).expect("a string takes it");
    }
    Ok(text)
}

fn section(
    text: &mut String,
    title: &str,
    values: &[usize],
    times: &[f64],
) -> Result<(), std::fmt::Error> {
    let joined = |each: &mut dyn Iterator<Item = String>, by: &str| {
        let each: Vec<String> = each.collect();
        each.join(by)
    };
    let names = joined(&mut values.iter().map(usize::to_string), " | ");
    let cells = joined(&mut times.iter().map(|time| format!("{time:.0}")), " | ");
    let rule = joined(&mut values.iter().map(|_| "---:".to_owned()), " | ");
    writeln!(text, "| {title} | {names} |\n| --- | {rule} |")?;
    writeln!(text, "| ms a step | {cells} |\n")?;
    let (names, cells) = (names.replace(" |", ","), cells.replace(" |", ","));
    writeln!(text, "```mermaid\nxychart-beta")?;
    writeln!(text, "    x-axis \"{title}\" [{names}]")?;
    writeln!(text, "    y-axis \"ms a step\"\n    line [{cells}]\n```\n")
}

fn milliseconds(device: &Host, sizes: Sizes) -> anyhow::Result<f64> {
    let model = model(device, sizes.d_model)?;
    let with_prompt = sizes.prompt_rows > 0;
    let case = if with_prompt {
        Case::ModelTune
    } else {
        Case::Finetune
    };
    let prompts = if with_prompt {
        let seed = Seed::new(1);
        vec![SoftPrompt::init(
            &model,
            sizes.prompt_rows,
            PromptInit::Uniform,
            seed,
        )]
    } else {
        Vec::new()
    };
    let options = TrainOptions {
        steps: 1 + STEPS,
        ..case.training().expect("a case that trains").options(1e-3)
    };
    let next = |step| {
        let (name, tokens) = (format!("step {step}"), sizes.tokens);
        let batch = TokenBatch::new(
            random::ragged(&name, sizes.rows, tokens..=tokens, VOCAB_SIZE),
            random::ragged(&name, sizes.rows, 3..=3, VOCAB_SIZE),
        );
        if with_prompt {
            batch.with_prompt(0)
        } else {
            batch
        }
    };
    let times = RefCell::new(Vec::new());
    let done = |step: stepwise::StepDone| times.borrow_mut().push(step.time.as_secs_f64());
    let directory = tempfile::tempdir()?;
    let adapters = Adapters::prompts(prompts);
    stepwise::run(model, &adapters, &options, directory.path(), next, done)?;
    let mut times = times.into_inner().split_off(1);
    times.sort_by(f64::total_cmp);
    Ok(1e3 * times[times.len() / 2])
}

/// Three encoder and three decoder layers, with heads of 32 columns.
fn model(device: &Host, d_model: usize) -> anyhow::Result<Model<Host>> {
    let json = format!(
        r#"{{"vocab_size": {VOCAB_SIZE}, "d_model": {d_model}, "d_kv": 32, "d_ff": {},
            "num_layers": 3, "num_heads": {}, "feed_forward_proj": "gated-gelu"}}"#,
        2 * d_model,
        d_model / 32
    );
    let config = T5Config::from_json(json.as_bytes())?;
    Ok(T5::new(device, config, false, Seed::new(0)).into())
}
