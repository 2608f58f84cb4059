//! What op tests share: seeded inputs, both devices, finite differences, one tolerance rule.

pub(crate) mod gpu;

use rand::{Rng as _, SeedableRng as _};

use crate::backend::{Backend, Device, Host, Shape};
use crate::graph::{Graph, Var};

/// Seeded values in (-1, 1).
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut stream = promot_core::Stream::seed_from_u64(seed);
    (0..len).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// Seeded sizes from 1 to `most`: many are small or just off a block, as sizes that hurt are.
pub(crate) fn random_sizes<const N: usize>(seed: u64, most: usize) -> [usize; N] {
    let mut stream = promot_core::Stream::seed_from_u64(seed);
    std::array::from_fn(|_| {
        let block = [1, 8, 32, 64, 256][stream.random_range(0..5)];
        let size = block * stream.random_range(1..=4) + stream.random_range(0..3) - 1;
        size.clamp(1, most)
    })
}

/// A leaf with seeded values.
pub(crate) fn leaf(shape: Shape, seed: u64) -> Var<Host> {
    leaf_of(values(shape.0 * shape.1, seed), shape)
}

/// A leaf with given values.
pub(crate) fn leaf_of(values: Vec<f32>, shape: Shape) -> Var<Host> {
    Var::leaf(Host::new().tensor(values, shape))
}

/// Asserts `|actual - expected| <= absolute + relative * |expected|` for every element.
pub(crate) fn assert_close(name: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(a) - e).abs();
        assert!(
            error <= tolerance * (1.0 + e.abs()),
            "{name}[{i}]: {a} instead of {e}"
        );
    }
}

/// `|actual - expected| <= tolerance * |expected| + 1e-5` in the Euclidean norm.
pub(crate) fn assert_norm_close(name: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    let differences = actual.iter().zip(expected).map(|(&a, e)| f64::from(a) - e);
    let difference = differences.map(|d| d * d).sum::<f64>().sqrt();
    let norm = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
    assert!(
        difference <= tolerance * norm + 1e-5,
        "{name}: off by {difference:e} of {norm:e}"
    );
}

/// An output, and the gradient of `sum(output * weights)` with respect to every input (none where
/// it is not wanted).
pub(crate) type Results = (Vec<f32>, Vec<Vec<f32>>);

/// Runs an op on leaves, and asserts that the second device agrees: `run!(inputs, |graph, inputs| ...)`
/// gives the CPU's [`Results`]. The op is written out once for each device. A number before it replaces
/// [`gpu::BF16_TOLERANCE`].
macro_rules! run {
    ($inputs:expr, $op:expr $(,)?) => {
        $crate::ops::testing::run!($inputs, $crate::ops::testing::gpu::BF16_TOLERANCE, $op)
    };
    ($inputs:expr, $bf16_tolerance:expr, $op:expr $(,)?) => {
        // A match, so that temporaries live until its end.
        match $inputs {
            inputs => {
                let results = $crate::ops::testing::run_on_host(inputs, $op);
                $crate::ops::testing::gpu::assert_agrees(inputs, &results, $bf16_tolerance, $op);
                results
            }
        }
    };
}
pub(crate) use run;

/// Runs `op` on the CPU only.
pub(crate) fn run_on_host<F>(inputs: &[Var<Host>], op: F) -> Results
where
    F: Fn(&mut Graph<Host>, &[Var<Host>]) -> Var<Host>,
{
    run_on(&Host::new(), inputs, op)
}

/// Runs `op` on a given device, which the leaves are of. The weights of the outputs are seeded.
pub(crate) fn run_on<B, F>(device: &B, inputs: &[Var<B>], op: F) -> Results
where
    B: Backend,
    F: Fn(&mut Graph<B>, &[Var<B>]) -> Var<B>,
{
    let mut graph = Graph::training(device, Default::default());
    let y = op(&mut graph, inputs);
    let output = device.download(y.slice());
    let weights = device.upload(output_weights(output.len()));
    let mut gradients = graph.backward_from(&y, weights);
    let gradients = inputs
        .iter()
        .map(|input| match input.slot() {
            Some(slot) => device.download(B::take_gradient(&mut gradients, &slot).as_ref()),
            None => Vec::new(),
        })
        .collect();
    (output, gradients)
}

/// A tensor for compositions of dfdx's own ops.
pub(crate) fn dfdx_tensor(
    values: Vec<f32>,
    shape: Shape,
) -> dfdx::tensor::Tensor<(usize, usize), f32, dfdx::tensor::Cpu> {
    (*Host::new().tensor(values, shape)).clone()
}

/// What dfdx computed as the gradient of `input`.
pub(crate) fn dfdx_gradient(
    gradients: &dfdx::tensor::Gradients<f32, dfdx::tensor::Cpu>,
    input: &Var<Host>,
) -> Vec<f64> {
    let gradient = gradients.get(&**input.tensor()).as_vec();
    gradient.into_iter().map(f64::from).collect()
}

/// The seeded weights that make a scalar of an output of `len` values.
pub(crate) fn output_weights(len: usize) -> Vec<f32> {
    values(len, 77)
}

/// Compares every leaf's gradient with central differences of `sum(output * weights)` on the CPU, and
/// the second device with the CPU: `check_finite_differences!(name, inputs, tolerance, op)`.
macro_rules! check_finite_differences {
    ($name:expr, $inputs:expr, $tolerance:expr, $op:expr $(,)?) => {
        match $inputs {
            inputs => {
                $crate::ops::testing::assert_finite_differences($name, inputs, $tolerance, $op);
                $crate::ops::testing::run!(inputs, $op);
            }
        }
    };
}
pub(crate) use check_finite_differences;

/// The comparison with central differences.
///
/// The error is relative to the gradient's norm: `|fd - g| <= tolerance * |fd| + 1e-4`.
pub(crate) fn assert_finite_differences<F>(name: &str, inputs: &[Var<Host>], tolerance: f64, op: F)
where
    F: Fn(&mut Graph<Host>, &[Var<Host>]) -> Var<Host>,
{
    let scalar = |inputs: &[Var<Host>]| -> f64 {
        let mut graph = Graph::inference(&Host::new());
        let y = op(&mut graph, inputs);
        let weights = output_weights(y.slice().len());
        y.slice()
            .iter()
            .zip(&weights)
            .map(|(&y, &w)| f64::from(y) * f64::from(w))
            .sum()
    };
    let (_, gradients) = run_on_host(inputs, &op);
    let step = 1e-2f32;
    for (index, gradient) in gradients.iter().enumerate() {
        if !inputs[index].requires_grad() {
            continue;
        }
        let (mut difference, mut norm) = (0.0, 0.0);
        for i in 0..gradient.len() {
            let moved = |by: f32| {
                let mut changed = inputs.to_vec();
                let mut values = inputs[index].slice().to_vec();
                values[i] += by;
                changed[index] = leaf_of(values, inputs[index].shape());
                scalar(&changed)
            };
            let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            difference += (expected - f64::from(gradient[i])).powi(2);
            norm += expected * expected;
        }
        let (difference, norm) = (difference.sqrt(), norm.sqrt());
        assert!(
            difference <= tolerance * norm + 1e-4,
            "{name}: gradient of input {index} is off by {difference:e} (norm {norm:e})"
        );
    }
}
