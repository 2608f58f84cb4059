//! The loss and all gradients of whole models, and the tokens that they answer.

use promot_core::{Ragged, Seed, TokenBatch};

use super::compare::{difference, largest, values};
use super::{Check, tolerance};
use crate::arch::{Llama, LlamaConfig, LossOptions, Model, T5, T5Config};
use crate::backend::{Backend, DeviceError, Host};
use crate::gemm::Precision;
use crate::generate::GenerateOptions;
use crate::graph::{Graph, Var};
use crate::ops::cross_entropy::LabelSmoothing;
use crate::ops::dropout::DropoutKey;

const WIDTH: usize = 96;
const DROPOUT: Option<DropoutKey> = Some(DropoutKey { rate: 0.1, key: 3 });
const T5_JSON: &[u8] =
    br#"{"vocab_size": 500, "d_model": 96, "d_kv": 64, "d_ff": 200, "num_layers": 2,
    "num_heads": 3, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}"#;
const LLAMA_JSON: &[u8] = br#"{"model_type": "llama", "vocab_size": 500, "hidden_size": 96,
    "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32}"#;

/// Compares whole training steps of a small T5 and a small Llama with the CPU's, and, in `f32`, what
/// they answer by beam search. `precision` is the device's.
///
/// # Errors
/// If the device fails.
pub fn steps<B: Backend>(device: &B, precision: Precision) -> Result<Vec<Check>, DeviceError> {
    let mut checks = Vec::new();
    for (name, build) in [("T5", Build::T5), ("Llama", Build::Llama)] {
        // With dropout and without: a Llama computes soft prompts in another way then.
        for (kind, dropout) in [("step", DROPOUT), ("step without dropout", None)] {
            let (found, expected) = (
                step(device, build, dropout),
                step(&Host::new(), build, dropout),
            );
            device.check()?;
            checks.push(Check {
                name: format!("{name}: loss and gradients of a {kind}"),
                error: match precision {
                    Precision::F32 => {
                        let tensors = found.iter().zip(&expected);
                        largest(tensors.map(|(found, expected)| relative(found, expected)))
                    }
                    // Rounding takes single tensors further, where terms cancel: all of them together.
                    Precision::Bf16 => relative(&found.concat(), &expected.concat()),
                },
                tolerance: 2.0 * tolerance(precision),
            });
        }
        // Rounded factors can turn the order of two nearly equal candidates.
        if precision == Precision::F32 {
            let (found, expected) = (answers(device, build), answers(&Host::new(), build));
            device.check()?;
            checks.push(Check {
                name: format!("{name}: tokens of beam search (rows that differ)"),
                error: (0..expected.len())
                    .filter(|&row| found[row] != expected[row])
                    .count() as f64,
                tolerance: 0.0,
            });
        }
    }
    Ok(checks)
}

/// The distance relative to the norm of what is expected.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    let norm: f64 = expected.iter().map(|&x| f64::from(x).powi(2)).sum();
    let rms = (norm / expected.len().max(1) as f64).sqrt().max(1e-30) as f32;
    let scaled = |values: &[f32]| values.iter().map(|x| x / rms).collect::<Vec<_>>();
    difference(&scaled(found), &scaled(expected))
}

#[derive(Clone, Copy)]
enum Build {
    T5,
    Llama,
}

impl Build {
    fn model<B: Backend>(self, device: &B) -> Model<B> {
        const VALID: &str = "a configuration of our own";
        let seed = Seed::new(5);
        match self {
            Self::T5 => {
                let config = T5Config::from_json(T5_JSON).expect(VALID);
                T5::new(device, config, false, seed).into()
            }
            Self::Llama => {
                let config = LlamaConfig::from_json(LLAMA_JSON).expect(VALID);
                Llama::new(device, config, true, seed).into()
            }
        }
    }
}

fn batch() -> TokenBatch {
    let row = |len: u32, first: u32| -> Vec<u32> {
        (0..len).map(|i| 3 + (first + i * i) % 490).collect()
    };
    let rows = |lens: [u32; 3], first: u32| {
        let rows: Vec<_> = lens
            .into_iter()
            .zip(first..)
            .map(|(len, i)| row(len, i))
            .collect();
        Ragged::from_rows(rows.iter().map(Vec::as_slice))
    };
    TokenBatch {
        inputs: rows([90, 1, 30], 0),
        targets: rows([3, 20, 1], 9),
        prompts: vec![Some(0), None, Some(0)],
    }
}

fn prompt<B: Backend>(device: &B) -> Var<B> {
    let values = device.upload(values(10 * WIDTH, 8));
    Var::leaf(device.tensor(values, (10, WIDTH)))
}

fn step<B: Backend>(device: &B, build: Build, dropout: Option<DropoutKey>) -> Vec<Vec<f32>> {
    let model = build.model(device);
    let prompt = prompt(device);
    let options = LossOptions {
        tune_model: true,
        smoothing: LabelSmoothing::t5x(0.1),
        dropout,
        lora_dropout: None,
        recompute: false,
    };
    let mut graph = Graph::training(device, Default::default());
    let loss = model.loss(
        &mut graph,
        &batch(),
        std::slice::from_ref(&prompt),
        &options,
    );
    let mut results = vec![device.download(loss.slice())];
    let mut gradients = graph.backward(&loss, 1.0);
    let parameters = model.parameters().iter().map(|p| &p.tensor);
    for tensor in parameters.chain([prompt.tensor()]) {
        let gradient = B::take_gradient(&mut gradients, &B::slot(tensor));
        results.push(device.download(gradient.as_ref()));
    }
    results
}

fn answers<B: Backend>(device: &B, build: Build) -> Vec<Vec<u32>> {
    let model = build.model(device);
    let options = GenerateOptions {
        max_new_tokens: 8,
        beams: 4,
        ..GenerateOptions::default()
    };
    let batch = batch();
    model.generate(&batch.inputs, &[prompt(device)], &batch.prompts, &options)
}
