//! How far two gradients of a model point the same way: on real rows, and on the same inputs with
//! other targets (paper section 3.3, figures 3 and 7).

mod groups;
mod products;
#[cfg(test)]
mod tests;

use promot_core::TokenBatch;
use thiserror::Error;

pub use groups::{ParameterGroup, parameter_groups};

use crate::arch::{LossOptions, Model};
use crate::backend::{Backend, DeviceError};
use crate::graph::{Graph, Var};
use crate::ops::cross_entropy::LabelSmoothing;
use products::Products;

/// Why gradients cannot be compared.
#[derive(Debug, Error)]
pub enum AlignmentError {
    /// The loss, or a value of a gradient, is infinite or no number.
    #[error("the gradient of a loss of {loss} has values that are no finite numbers")]
    NonFinite {
        /// The mean loss, in nats.
        loss: f64,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// How gradients are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientOptions {
    /// Label smoothing of the loss: that of training, whose gradient this is.
    pub smoothing: LabelSmoothing,
    /// Compute activations again in the backward pass instead of keeping them; the bits are the same.
    pub recompute: bool,
}

/// The gradient of a model's weights on one batch.
pub struct WeightGradient<B: Backend> {
    /// The mean loss over the batch's target tokens, in nats.
    pub loss: f64,
    /// A gradient for each parameter, in the order of [`Model::parameters`].
    pub gradients: Vec<B::Buffer>,
}

/// The gradient of the mean loss over `batch`. `prompts` are soft prompts that `batch.prompts` refers to;
/// they are frozen, like everything but the model's weights, and nothing is changed.
///
/// There is no dropout: a mask of its own for each gradient would turn them away from each other by
/// chance, and one mask for both would give the gradients of a thinned model that nobody tunes.
///
/// # Errors
/// If the loss is no finite number, or the device fails.
pub fn weight_gradient<B: Backend>(
    model: &Model<B>,
    prompts: &[Var<B>],
    batch: &TokenBatch,
    options: &GradientOptions,
) -> Result<WeightGradient<B>, AlignmentError> {
    let device = model.device();
    let loss_options = LossOptions {
        tune_model: true,
        smoothing: options.smoothing,
        dropout: None,
        lora_dropout: None,
        recompute: options.recompute,
    };
    let mut graph = Graph::training(device, B::Gradients::default());
    let loss = model.loss(&mut graph, batch, prompts, &loss_options);
    let mut gradients = graph.backward(&loss, 1.0);
    let loss = f64::from(device.download(loss.slice())[0]);
    let parameters = model.parameters().iter();
    let gradients = parameters
        .map(|parameter| B::take_gradient(&mut gradients, &B::slot(&parameter.tensor)))
        .collect();
    device.check()?;
    if !loss.is_finite() {
        return Err(AlignmentError::NonFinite { loss });
    }
    Ok(WeightGradient { loss, gradients })
}

/// The cosine between two gradients of `model`, for each of `groups`; none where one of the gradients is
/// zero, and has no direction.
///
/// Sums are in `f64` and in an order that does not depend on the number of threads.
///
/// # Errors
/// If a value of a gradient is no finite number, or the device fails.
pub fn cosines<B: Backend>(
    model: &Model<B>,
    groups: &[ParameterGroup],
    one: &WeightGradient<B>,
    other: &WeightGradient<B>,
) -> Result<Vec<Option<f64>>, AlignmentError> {
    let device = model.device();
    let pairs = one.gradients.iter().zip(&other.gradients);
    // One parameter after another in host memory, where a model may fit only once.
    let products = pairs.map(|(one, other)| {
        let (one, other) = (
            device.download(one.as_ref()),
            device.download(other.as_ref()),
        );
        Products::of(&one, &other)
    });
    let products: Vec<Products> = products.collect();
    device.check()?;
    if !products.iter().all(Products::are_finite) {
        return Err(AlignmentError::NonFinite { loss: one.loss });
    }
    let cosine = |group: &ParameterGroup| {
        let of_group = group.members.iter().map(|&member| products[member]);
        of_group.sum::<Products>().cosine()
    };
    Ok(groups.iter().map(cosine).collect())
}
