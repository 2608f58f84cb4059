//! Tensors of a checkpoint or from chance as the parameters that an architecture asks for.

use promot_core::Seed;
use rand::Rng as _;

use crate::backend::{Backend, Shape};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::param::ParameterSet;

/// The parameters of `layout` (names and shapes, in order) with values by `initial`.
pub(super) fn random_parameters<B: Backend>(
    device: &B,
    layout: Vec<(String, Shape)>,
    initial: impl Fn(&str, Shape) -> Vec<f32>,
) -> ParameterSet<B> {
    let mut parameters = ParameterSet::new();
    for (name, shape) in layout {
        let values = initial(&name, shape);
        parameters.push(name, device.tensor(device.upload(values), shape));
    }
    parameters
}

/// The parameters of `layout` from named values, each used once.
///
/// # Errors
/// If a tensor is missing, superfluous, or of another shape.
pub(super) fn parameters_from<B: Backend>(
    device: &B,
    layout: Vec<(String, Shape)>,
    mut tensors: NamedTensors,
) -> Result<ParameterSet<B>, CheckpointError> {
    let mut parameters = ParameterSet::new();
    for (name, shape) in layout {
        let Some((values, found)) = tensors.remove(&name) else {
            return Err(CheckpointError::MissingTensor { name });
        };
        if !same_shape(&found, shape) {
            return Err(CheckpointError::Shape {
                name,
                found,
                expected: expected_dims(shape),
            });
        }
        parameters.push(name, device.tensor(device.upload(values), shape));
    }
    match tensors.into_keys().next() {
        Some(name) => Err(CheckpointError::UnexpectedTensor { name }),
        None => Ok(parameters),
    }
}

/// A shape as it stands in a checkpoint: vectors have one dimension there.
fn expected_dims(shape: Shape) -> Vec<usize> {
    if shape.0 == 1 {
        vec![shape.1]
    } else {
        vec![shape.0, shape.1]
    }
}

fn same_shape(found: &[usize], shape: Shape) -> bool {
    found == [shape.0, shape.1] || (shape.0 == 1 && found == [shape.1])
}

/// Normally distributed values around 0; a stream of its own for every name.
pub(super) fn normal_values(seed: Seed, name: &str, shape: Shape, deviation: f64) -> Vec<f32> {
    let mut stream = seed.stream(name, "initial values");
    let mut normal = move || {
        // Box-Muller; 1 - u is in (0, 1], so that its logarithm is finite.
        let (u, v): (f64, f64) = (stream.random(), stream.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    (0..shape.0 * shape.1)
        .map(|_| (normal() * deviation) as f32)
        .collect()
}
