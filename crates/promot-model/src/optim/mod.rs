//! Optimizers, learning-rate schedules and gradient clipping.

pub mod adafactor;
pub mod adamw;
mod clip;
mod cuda;
mod gpu_state;
mod schedule;
mod squares;
#[cfg(test)]
mod tests;

pub use adafactor::AdafactorOptions;
pub use adamw::AdamWOptions;
pub use clip::clip_factor;
pub use gpu_state::GpuState;
pub use schedule::{Decay, Schedule};
pub use squares::{GpuSquares, Squares};

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

/// What an optimizer remembers of one parameter, in host memory: vectors of `f32`, none before the
/// first step. It is what a checkpoint stores, whatever the device.
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
pub struct Update<'a, D: Kernels> {
    /// The parameter's values.
    pub values: &'a D::Slice,
    /// Its gradient, whose memory becomes that of the new values.
    pub gradient: D::Buffer,
    /// What [`Kernels::squares`] said of the gradient.
    pub squares: &'a D::Squares,
    /// Rows and columns of values and gradient.
    pub shape: Shape,
}

/// The update kernels. They get all parameters at once, because most are small: a device is busy
/// with several of them. Results do not depend on the number of threads.
pub trait Kernels: Device {
    /// The sums of a gradient's squares, where the device wants them.
    type Squares;
    /// What an optimizer remembers of one parameter, where the device wants it; nothing at first.
    type State: Default;

    /// For each gradient the sums of its squares that `optimizer` needs, and the sum over all
    /// gradients, which is no finite number if any value of them is none.
    fn squares(
        &self,
        optimizer: &Optimizer,
        gradients: &[(&Self::Slice, Shape)],
    ) -> (Vec<Self::Squares>, f64);

    /// The parameters' new values.
    fn update(
        &self,
        optimizer: &Optimizer,
        step: Step,
        updates: Vec<Update<'_, Self>>,
        states: &mut [Self::State],
    ) -> Vec<Self::Buffer>;

    /// A copy of a state in host memory.
    fn download_state(&self, state: &Self::State) -> ParameterState;

    /// The state that [`Kernels::download_state`] copied.
    fn upload_state(&self, state: ParameterState) -> Self::State;
}

impl Kernels for Host {
    type Squares = Squares;
    type State = ParameterState;

    fn squares(&self, optimizer: &Optimizer, gradients: &[(&[f32], Shape)]) -> (Vec<Squares>, f64) {
        let squares = |&(gradient, shape): &(&[f32], Shape)| match optimizer {
            Optimizer::Adafactor(options) if options.factors(shape) => {
                Squares::of_matrix(gradient, shape)
            }
            _ => Squares::of_values(gradient),
        };
        let squares: Vec<Squares> = gradients.par_iter().map(squares).collect();
        let total = squares.iter().map(|squares| squares.total).sum();
        (squares, total)
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

    fn download_state(&self, state: &ParameterState) -> ParameterState {
        state.clone()
    }

    fn upload_state(&self, state: ParameterState) -> ParameterState {
        state
    }
}
