//! Whole models on the emulated device beside the CPU: a step's loss and gradients, training, decoding;
//! and what becomes of errors and memory.

use std::path::{Path, PathBuf};

use promot_core::{Ragged, TokenBatch};
use promot_cuda_emulator::Schedule;

use super::emulated::{Broken, Emulator, SCHEDULES, emulated};
use super::*;
use crate::arch::{LossOptions, Model};
use crate::backend::{Backend, Host};
use crate::checkpoint::load_model;
use crate::generate::GenerateOptions;
use crate::graph::{Graph, Var};
use crate::ops::cross_entropy::LabelSmoothing;
use crate::ops::dropout::DropoutKey;

/// T5 v1.0, v1.1 and mT5, Llama with grouped heads of keys, tied and not, and the product's own model.
const MODELS: [&str; 6] = [
    "t5/v1_0",
    "t5/v1_1",
    "t5/mt5",
    "llama/grouped_tied",
    "llama/shared_untied",
    MINI_T5,
];

const MINI_T5: &str = "mini-t5";

fn directory(model: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if model == MINI_T5 {
        here.join("../promot-pipeline/assets").join(model)
    } else {
        here.join("tests/fixtures").join(model)
    }
}

/// Ragged rows with a soft prompt before two of them.
fn batch(seed: u32) -> TokenBatch {
    let row = |len: u32, first: u32| -> Vec<u32> {
        (0..len).map(|i| 3 + (first + i * i + seed) % 60).collect()
    };
    let rows = |lens: [u32; 4], first: u32| {
        let rows: Vec<_> = lens
            .into_iter()
            .zip(first..)
            .map(|(len, i)| row(len, i))
            .collect();
        Ragged::from_rows(rows.iter().map(Vec::as_slice))
    };
    TokenBatch {
        inputs: rows([9, 1, 70, 4], 0),
        targets: rows([3, 1, 20, 2], 9),
        prompts: vec![Some(0), None, Some(0), None],
    }
}

fn prompt<B: Backend>(device: &B, width: usize) -> Var<B> {
    let values = (0..5 * width).map(|i| (i as f32 * 0.7).sin()).collect();
    Var::leaf(device.tensor(device.upload(values), (5, width)))
}

const DROPOUT: Option<DropoutKey> = Some(DropoutKey { rate: 0.1, key: 5 });

/// The loss, and the gradients of all parameters and of a soft prompt.
fn step<B: Backend>(
    device: &B,
    model: &str,
    dropout: Option<DropoutKey>,
) -> (f32, Vec<(String, Vec<f32>)>) {
    let model = load_model(device, &directory(model)).unwrap();
    let prompt = prompt(device, B::shape(model.embedding_table()).1);
    let options = LossOptions {
        tune_model: true,
        smoothing: LabelSmoothing::t5x(0.1),
        dropout,
        lora_dropout: None,
        recompute: false,
    };
    let mut graph = Graph::training(device, Default::default());
    let prompts = std::slice::from_ref(&prompt);
    let loss = model.loss(&mut graph, &batch(0), prompts, &options);
    let value = device.download(loss.slice())[0];
    let mut gradients = graph.backward(&loss, 1.0);
    let parameters = model.parameters().iter();
    let tensors = parameters.map(|p| (p.name.clone(), &p.tensor));
    let tensors = tensors.chain([("soft prompt".to_owned(), prompt.tensor())]);
    let taken = tensors.map(|(name, tensor)| {
        let gradient = B::take_gradient(&mut gradients, &B::slot(tensor));
        (name, device.download(gradient.as_ref()))
    });
    let taken = taken.collect();
    device.check().unwrap();
    (value, taken)
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// A step's distance from the CPU's in `f32`.
struct Distance {
    /// Of all gradients together, relative to their norm.
    whole: f64,
    /// The largest of one tensor's gradient, relative to its own norm, and the tensor.
    largest: (f64, String),
}

fn distance<B: Backend>(device: &B, model: &str, dropout: Option<DropoutKey>) -> Distance {
    let (loss, gradients) = step(device, model, dropout);
    let (expected_loss, expected) = step(&Host::new(), model, dropout);
    let off = f64::from((loss - expected_loss) / expected_loss).abs();
    let mut largest = (off, "the loss".to_owned());
    let (mut errors, mut sizes) = (0.0, 0.0);
    assert_eq!(gradients.len(), expected.len());
    for ((name, gradient), (_, expected)) in gradients.iter().zip(&expected) {
        let error = norm(gradient.iter().zip(expected).map(|(a, b)| a - b));
        let size = norm(expected.iter().copied());
        assert!(size > 0.0 && error.is_finite(), "{model}: {name}");
        if error / size > largest.0 {
            largest = (error / size, name.clone());
        }
        errors += error * error;
        sizes += size * size;
    }
    Distance {
        whole: (errors / sizes).sqrt(),
        largest,
    }
}

#[test]
fn a_whole_step_in_f32_equals_the_cpu() {
    for (schedule, model) in each_under_each_schedule() {
        let Distance { largest, .. } =
            distance(&emulated(Precision::F32, schedule), model, DROPOUT);
        assert!(largest.0 <= 1e-4, "{model}: {largest:?}");
    }
}

/// Without dropout, a decoder-only model computes a soft prompt once for all rows.
#[test]
fn a_whole_step_without_dropout_equals_the_cpu() {
    for (schedule, model) in each_under_each_schedule() {
        let Distance { largest, .. } = distance(&emulated(Precision::F32, schedule), model, None);
        assert!(largest.0 <= 1e-4, "{model}: {largest:?}");
    }
}

/// How far rounding to bf16 takes a step depends on the model: it moves values over the kink of T5 v1.0's
/// ReLU. So the measure is how far the CPU's rounding takes it.
#[test]
fn a_whole_step_in_bf16_is_as_close_as_the_cpu_in_bf16() {
    for model in MODELS {
        let cpu = distance(&Host::with_precision(Precision::Bf16), model, DROPOUT).whole;
        assert!(cpu > 1e-3, "{model}: {cpu} is no distance");
        for schedule in SCHEDULES {
            let gpu = distance(&emulated(Precision::Bf16, schedule), model, DROPOUT).whole;
            assert!(gpu <= 1.5 * cpu, "{model}: {gpu}, the CPU {cpu}");
        }
    }
}

fn each_under_each_schedule() -> impl Iterator<Item = (Schedule, &'static str)> {
    let models = |schedule| MODELS.into_iter().map(move |model| (schedule, model));
    SCHEDULES.into_iter().flat_map(models)
}

fn generated<B: Backend>(model: &Model<B>, beams: usize) -> Vec<Vec<u32>> {
    let options = GenerateOptions {
        max_new_tokens: 12,
        beams,
        ..GenerateOptions::default()
    };
    let batch = batch(1);
    let prompts = [prompt(model.device(), B::shape(model.embedding_table()).1)];
    model.generate(&batch.inputs, &prompts, &batch.prompts, &options)
}

#[test]
fn the_same_tokens_are_generated() {
    for name in MODELS {
        let gpu = emulated(Precision::F32, SCHEDULES[2]);
        let on_gpu = load_model(&gpu, &directory(name)).unwrap();
        let on_host = load_model(&Host::new(), &directory(name)).unwrap();
        for beams in [1, 4] {
            let tokens = generated(&on_gpu, beams);
            gpu.check().unwrap();
            assert!(
                tokens.iter().any(|row| !row.is_empty()),
                "{name}: {beams} beams"
            );
            assert_eq!(tokens, generated(&on_host, beams), "{name}: {beams} beams");
        }
    }
}

#[test]
fn the_first_error_is_kept_and_what_follows_is_left_undone() {
    let gpu = Gpu::new(Box::new(Broken::after(30)), Precision::F32);
    let model = load_model(&gpu, &directory("t5/v1_1"));
    // The checkpoint is read in any case; what it lies in on the device may not be there.
    let model = model.unwrap();
    generated(&model, 1);
    let error = gpu.check().unwrap_err().to_string();
    assert!(error.contains("out of GPU memory"), "{error}");
    assert_eq!(gpu.check().unwrap_err().to_string(), error);
}

#[test]
fn all_memory_is_given_back() {
    let emulator = Emulator::new(SCHEDULES[0]);
    let allocations = emulator.allocations();
    let gpu = Gpu::new(Box::new(emulator), Precision::Bf16);
    let model = load_model(&gpu, &directory("llama/grouped_tied")).unwrap();
    generated(&model, 4);
    let prompt = prompt(&gpu, 24);
    let mut graph = Graph::training(&gpu, Default::default());
    let options = LossOptions {
        tune_model: true,
        smoothing: LabelSmoothing::NONE,
        dropout: None,
        lora_dropout: None,
        recompute: true,
    };
    let loss = model.loss(&mut graph, &batch(2), &[prompt], &options);
    let gradients = graph.backward(&loss, 1.0);
    assert!(allocations.get() > 0);
    drop((model, loss, gradients, gpu));
    assert_eq!(allocations.get(), 0);
}
