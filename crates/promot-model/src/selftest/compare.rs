//! One op on two devices, with the same seeded inputs.

use rand::{Rng as _, SeedableRng as _};

use super::Check;
use crate::backend::{Backend, DeviceError, Host, Shape};
use crate::graph::{Graph, Var};

/// An op that is written once for all devices.
pub(super) trait Op {
    /// Computes the output.
    fn run<B: Backend>(&self, graph: &mut Graph<B>, inputs: &[Var<B>]) -> Var<B>;
}

/// Seeded values in (-1, 1).
pub(super) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut stream = promot_core::Stream::seed_from_u64(seed);
    (0..len).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// The output, and the gradient of a weighted sum of it with respect to each input.
fn results<B: Backend>(device: &B, shapes: &[Shape], op: &impl Op) -> Vec<Vec<f32>> {
    let inputs: Vec<Var<B>> = (1..)
        .zip(shapes)
        .map(|(seed, &shape)| {
            let values = device.upload(values(shape.0 * shape.1, seed));
            Var::leaf(device.tensor(values, shape))
        })
        .collect();
    let mut graph = Graph::training(device, Default::default());
    let y = op.run(&mut graph, &inputs);
    let output = device.download(y.slice());
    let weights = device.upload(values(output.len(), 77));
    let mut gradients = graph.backward_from(&y, weights);
    let of = |input: &Var<B>| {
        let gradient = B::take_gradient(&mut gradients, &B::slot(input.tensor()));
        device.download(gradient.as_ref())
    };
    std::iter::once(output)
        .chain(inputs.iter().map(of))
        .collect()
}

/// Compares an op's output and gradients on `device` with the CPU's; the largest difference counts.
pub(super) fn compare<B: Backend>(
    device: &B,
    name: &str,
    shapes: &[Shape],
    op: &impl Op,
    tolerance: f64,
) -> Result<Check, DeviceError> {
    let found = results(device, shapes, op);
    device.check()?;
    let expected = results(&Host::new(), shapes, op);
    let errors = found.iter().zip(&expected);
    Ok(Check {
        name: name.to_owned(),
        error: largest(errors.map(|(found, expected)| difference(found, expected))),
        tolerance,
    })
}

/// The largest of some differences; one that is no number is the largest.
pub(super) fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) })
}

/// The norm of the difference relative to that of `expected`; to that of ones where it is smaller, so
/// that gradients which cancel to zero have a scale.
pub(super) fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::NAN;
    }
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = found.iter().zip(expected);
    let difference = norm(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let size = norm(&mut expected.iter().map(|&x| f64::from(x)));
    let ones = (expected.len() as f64).sqrt();
    if difference == 0.0 {
        0.0
    } else {
        difference / size.max(0.1 * ones)
    }
}
