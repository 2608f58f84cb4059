//! Op tests on the second device: kernels run by the emulator, results compared with the CPU's.

use super::{Results, run_on};
use crate::backend::gpu::emulated::{emulated, schedules};
use crate::backend::{Device as _, Gpu, Host};
use crate::gemm::Precision;
use crate::graph::{Graph, Var};
use crate::ops::add::add;

/// How far a number in `f32` may be from the CPU's, relative to `1 + |number|` and the tensor's RMS: sums of
/// large terms can be small.
const TOLERANCE: f32 = 1e-4;
/// How far a tensor may be in `bf16`, relative to its norm: roundings are a relative 2^-9 each.
pub(crate) const BF16_TOLERANCE: f64 = 2e-2;
/// The same for each number where terms of the order of one cancel.
const BF16_CANCELLED: f64 = 1e-2;

/// An input of a test on a GPU.
pub(crate) fn to_gpu(gpu: &Gpu, input: &Var<Host>) -> Var<Gpu> {
    let tensor = gpu.tensor(gpu.upload(input.slice().to_vec()), input.shape());
    if input.requires_grad() {
        Var::leaf(tensor)
    } else {
        Var::constant(tensor)
    }
}

/// Runs `op` on an emulated GPU; the inputs are the CPU's.
pub(crate) fn run_on_gpu<F>(gpu: &Gpu, inputs: &[Var<Host>], op: F) -> Results
where
    F: Fn(&mut Graph<Gpu>, &[Var<Gpu>]) -> Var<Gpu>,
{
    let inputs: Vec<_> = inputs.iter().map(|input| to_gpu(gpu, input)).collect();
    let results = run_on(gpu, &inputs, op);
    gpu.check().expect("the emulator runs all kernels");
    results
}

/// Asserts that `op` gives the CPU's results on the emulated GPU: within [`TOLERANCE`] in `f32`, where all
/// schedules have to give the same bits, and about the same in `bf16`.
pub(crate) fn assert_agrees<F>(inputs: &[Var<Host>], expected: &Results, bf16_tolerance: f64, op: F)
where
    F: Fn(&mut Graph<Gpu>, &[Var<Gpu>]) -> Var<Gpu>,
{
    let mut first: Option<Results> = None;
    for &schedule in schedules() {
        let results = run_on_gpu(&emulated(Precision::F32, schedule), inputs, &op);
        match &first {
            None => {
                compare(&results, expected, |name, actual, expected| {
                    assert_close(name, actual, expected);
                });
                first = Some(results);
            }
            Some(first) => {
                let bits = |results: &Results| -> Vec<Vec<u32>> {
                    let tensors = std::iter::once(&results.0).chain(&results.1);
                    let of_tensor = |x: &Vec<f32>| x.iter().map(|x| x.to_bits()).collect();
                    tensors.map(of_tensor).collect()
                };
                assert_eq!(bits(first), bits(&results), "{schedule:?} gives other bits");
            }
        }
    }
    if let Some(&schedule) = schedules().first() {
        assert_adds_gradients(&emulated(Precision::F32, schedule), inputs, expected, &op);
        let results = run_on_gpu(&emulated(Precision::Bf16, schedule), inputs, &op);
        compare(&results, expected, |name, actual, expected| {
            assert_about(name, actual, expected, bf16_tolerance);
        });
    }
}

/// Asserts that gradients are added to those that are there: twice the op gives all of it twice.
fn assert_adds_gradients<F>(gpu: &Gpu, inputs: &[Var<Host>], expected: &Results, op: F)
where
    F: Fn(&mut Graph<Gpu>, &[Var<Gpu>]) -> Var<Gpu>,
{
    let results = run_on_gpu(gpu, inputs, |graph, inputs| {
        let (first, second) = (op(graph, inputs), op(graph, inputs));
        add(graph, &first, &second)
    });
    let twice = |values: &Vec<f32>| values.iter().map(|x| 2.0 * x).collect();
    let expected = (twice(&expected.0), expected.1.iter().map(twice).collect());
    compare(&results, &expected, |name, actual, expected| {
        assert_close(&format!("twice the {name}"), actual, expected);
    });
}

fn compare(actual: &Results, expected: &Results, assert: impl Fn(&str, &[f32], &[f32])) {
    assert("output on the GPU", &actual.0, &expected.0);
    assert_eq!(actual.1.len(), expected.1.len());
    for (i, (actual, expected)) in actual.1.iter().zip(&expected.1).enumerate() {
        assert(&format!("gradient {i} on the GPU"), actual, expected);
    }
}

fn assert_close(name: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    let squares: f32 = expected.iter().map(|e| e * e).sum();
    let rms = (squares / expected.len().max(1) as f32).sqrt();
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (a - e).abs() <= TOLERANCE * (1.0 + e.abs() + rms),
            "{name}[{i}]: {a} instead of {e}"
        );
    }
}

fn assert_about(name: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let mut errors = actual.iter().zip(expected).map(|(a, e)| f64::from(a - e));
    let error = norm(&mut errors);
    let size = norm(&mut expected.iter().copied().map(f64::from));
    let allowed = tolerance * size + BF16_CANCELLED * (expected.len() as f64).sqrt();
    assert!(error <= allowed, "{name} in bf16: off by {error} of {size}");
}
