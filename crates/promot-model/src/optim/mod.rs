//! Optimizers, learning-rate schedules and gradient clipping.

pub mod adafactor;
pub mod adamw;
mod clip;
mod schedule;

pub use adafactor::AdafactorOptions;
pub use adamw::AdamWOptions;
pub use clip::clip_by_global_norm;
pub use schedule::{Decay, Schedule};

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

/// What one update is computed from.
pub struct Update<'a, S: ?Sized> {
    /// The parameter's values.
    pub values: &'a S,
    /// Its gradient.
    pub gradient: &'a S,
    /// Rows and columns of both.
    pub shape: Shape,
    /// The step's learning rate.
    pub learning_rate: f32,
    /// The step, from 1.
    pub step: u64,
}

/// The update kernels.
pub trait Kernels: Device {
    /// A parameter's new values.
    fn update(
        &self,
        optimizer: &Optimizer,
        update: Update<'_, Self::Slice>,
        state: &mut ParameterState,
    ) -> Self::Buffer;
}

impl Kernels for Host {
    fn update(
        &self,
        optimizer: &Optimizer,
        update: Update<'_, [f32]>,
        state: &mut ParameterState,
    ) -> Vec<f32> {
        match optimizer {
            Optimizer::Adafactor(options) => adafactor::update(options, &update, state),
            Optimizer::AdamW(options) => adamw::update(options, &update, state),
        }
    }
}
