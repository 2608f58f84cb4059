//! Tensors of a checkpoint or from chance as the parameters that an architecture asks for, and
//! parameters as the variables of a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use promot_core::Seed;
use rand::Rng as _;

use crate::backend::{Backend, Shape};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::graph::{Graph, Var};
use crate::param::ParameterSet;
use crate::recompute::recomputed;

/// Weights that others stand for during a pass, by parameter index.
pub(crate) type Changed<B> = BTreeMap<usize, Var<B>>;

/// Which weights of a pass want gradients, which are others than the model's, and whether blocks that
/// read them are computed again. A clone shares all of it.
pub(super) struct PassWeights<B: Backend> {
    tuned: bool,
    recompute: bool,
    changed: Rc<Changed<B>>,
    /// Weights in a sublayer with a change that is tuned: fused ops want gradients of all their
    /// weights or of none.
    beside_changed: Rc<BTreeSet<usize>>,
}

impl<B: Backend> Clone for PassWeights<B> {
    fn clone(&self) -> Self {
        Self {
            tuned: self.tuned,
            recompute: self.recompute,
            changed: self.changed.clone(),
            beside_changed: self.beside_changed.clone(),
        }
    }
}

impl<B: Backend> PassWeights<B> {
    /// The weights of a pass through a model; `sublayer` says which of them one fused op reads.
    pub(super) fn new<'n>(
        parameters: &'n ParameterSet<B>,
        tuned: bool,
        recompute: bool,
        changed: Changed<B>,
        sublayer: impl Fn(&'n str) -> Option<(&'n str, bool)>,
    ) -> Self {
        let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
        let tuned_changes = changed.iter().filter(|(_, var)| var.requires_grad());
        let sublayers: BTreeSet<_> = tuned_changes
            .filter_map(|(&index, _)| sublayer(names[index]))
            .collect();
        let beside =
            |&index: &usize| sublayer(names[index]).is_some_and(|s| sublayers.contains(&s));
        Self {
            tuned,
            recompute,
            beside_changed: Rc::new((0..names.len()).filter(beside).collect()),
            changed: Rc::new(changed),
        }
    }

    /// Computes a block of `inputs`, once or, to save memory, again in the backward pass.
    pub(super) fn block(
        &self,
        graph: &mut Graph<B>,
        inputs: &[&Var<B>],
        block: impl Fn(&mut Graph<B>, &[Var<B>]) -> Var<B> + 'static,
    ) -> Var<B> {
        let inputs: Vec<Var<B>> = inputs.iter().map(|&input| input.clone()).collect();
        if self.recompute {
            let want_gradients = self.tuned || !self.beside_changed.is_empty();
            recomputed(graph, inputs, want_gradients, block)
        } else {
            block(graph, &inputs)
        }
    }

    /// The weight called `name`, leaf or constant.
    ///
    /// # Panics
    /// If the model has no such weight.
    pub(super) fn var(&self, parameters: &ParameterSet<B>, name: &str) -> Var<B> {
        let index = parameters.index_of(name);
        let index = index.unwrap_or_else(|| panic!("parameter {name} of a checked model"));
        if let Some(changed) = self.changed.get(&index) {
            return changed.clone();
        }
        let tensor = parameters.tensor(index).clone();
        if self.tuned || self.beside_changed.contains(&index) {
            Var::leaf(tensor)
        } else {
            Var::constant(tensor)
        }
    }
}

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
