//! Optimizers, learning-rate schedules and gradient clipping.

pub mod adafactor;
pub mod adamw;
mod clip;
mod schedule;
mod squares;

pub use adafactor::AdafactorOptions;
pub use adamw::AdamWOptions;
pub use clip::clip_factor;
pub use schedule::{Decay, Schedule};
pub use squares::Squares;

use rayon::prelude::*;

use crate::backend::{Device, Host, Shape};

/// Which optimizer, and its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adafactor as T5X computes it: what the paper uses (section A.2.4).
    Adafactor(AdafactorOptions),
    /// Adam with decoupled weight decay.
    AdamW(AdamWOptions),
}

/// What an optimizer remembers of one parameter: named vectors, all `f32`.
///
/// Host memory on every device: it is what a checkpoint stores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterState {
    /// Adafactor: the row and column means of squared gradients, or all of them if unfactored.
    /// AdamW: first and second moments.
    pub vectors: Vec<Vec<f32>>,
}

/// What is the same for all parameters in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The step, from 1.
    pub number: u64,
    /// Its learning rate.
    pub learning_rate: f32,
    /// What gradients are multiplied by before all else: how they are clipped.
    pub scale: f32,
}

/// What one parameter's update is computed from.
pub struct Update<'a, D: Device> {
    /// The parameter's values.
    pub values: &'a D::Slice,
    /// Its gradient, whose memory becomes that of the new values.
    pub gradient: D::Buffer,
    /// What [`Kernels::squares`] said of the gradient.
    pub squares: &'a Squares,
    /// Rows and columns of values and gradient.
    pub shape: Shape,
}

/// The update kernels. They get all parameters at once, because most are small: a device is busy
/// with several of them. Results do not depend on the number of threads.
pub trait Kernels: Device {
    /// For each gradient the sums of its squares that `optimizer` needs.
    fn squares(&self, optimizer: &Optimizer, gradients: &[(&Self::Slice, Shape)]) -> Vec<Squares>;

    /// The parameters' new values.
    fn update(
        &self,
        optimizer: &Optimizer,
        step: Step,
        updates: Vec<Update<'_, Self>>,
        states: &mut [ParameterState],
    ) -> Vec<Self::Buffer>;
}

impl Kernels for Host {
    fn squares(&self, optimizer: &Optimizer, gradients: &[(&[f32], Shape)]) -> Vec<Squares> {
        let squares = |&(gradient, shape): &(&[f32], Shape)| match optimizer {
            Optimizer::Adafactor(options) if options.factors(shape) => {
                Squares::of_matrix(gradient, shape)
            }
            _ => Squares::of_values(gradient),
        };
        gradients.par_iter().map(squares).collect()
    }

    fn update(
        &self,
        optimizer: &Optimizer,
        step: Step,
        updates: Vec<Update<'_, Self>>,
        states: &mut [ParameterState],
    ) -> Vec<Vec<f32>> {
        assert_eq!(updates.len(), states.len(), "one state a parameter");
        updates
            .into_par_iter()
            .zip(states)
            .map(|(update, state)| match optimizer {
                Optimizer::Adafactor(options) => adafactor::update(options, step, update, state),
                Optimizer::AdamW(options) => adamw::update(options, step, update, state),
            })
            .collect()
    }
}
