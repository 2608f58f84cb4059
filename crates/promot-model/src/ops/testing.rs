//! What op tests share: seeded inputs, finite differences, one tolerance rule.

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

/// Runs `op` on leaves and returns its output and the gradient of `sum(output * weights)` with
/// respect to every leaf, where `weights` are seeded.
pub(crate) fn run<F>(inputs: &[Var<Host>], op: F) -> (Vec<f32>, Vec<Vec<f32>>)
where
    F: Fn(&mut Graph<Host>, &[Var<Host>]) -> Var<Host>,
{
    run_on(&Host::new(), inputs, op)
}

/// The same on a given device, which the leaves are of.
pub(crate) fn run_on<F>(host: &Host, inputs: &[Var<Host>], op: F) -> (Vec<f32>, Vec<Vec<f32>>)
where
    F: Fn(&mut Graph<Host>, &[Var<Host>]) -> Var<Host>,
{
    let mut graph = Graph::training(host, Default::default());
    let y = op(&mut graph, inputs);
    let output = y.slice().to_vec();
    let loss = weighted_sum(&mut graph, &y);
    let mut gradients = graph.backward(&loss, 1.0);
    let gradients = inputs
        .iter()
        .map(|input| match input.slot() {
            Some(slot) => Host::take_gradient(&mut gradients, &slot),
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

/// `sum(y * weights)` as a `(1, 1)` variable: a linear op with one output is all it takes.
fn weighted_sum<B: Backend<Slice = [f32], Buffer = Vec<f32>>>(
    graph: &mut Graph<B>,
    y: &Var<B>,
) -> Var<B> {
    let len = y.slice().len();
    let weights = output_weights(len);
    let total = y.slice().iter().zip(&weights).map(|(y, w)| y * w).sum();
    let backward = y.slot().map(|slot| {
        move |gradients: &mut B::Gradients, seed: Vec<f32>| {
            B::add_gradient(gradients, &slot, |dy| {
                dy.iter_mut()
                    .zip(&weights)
                    .for_each(|(dy, w)| *dy += seed[0] * w);
            });
        }
    });
    graph.output(vec![total], (1, 1), backward)
}

/// Compares every leaf's gradient with central differences of `sum(output * weights)`.
///
/// The error is relative to the gradient's norm: `|fd - g| <= tolerance * |fd| + 1e-4`.
pub(crate) fn check_finite_differences<F>(name: &str, inputs: &[Var<Host>], tolerance: f64, op: F)
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
    let (_, gradients) = run(inputs, &op);
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
