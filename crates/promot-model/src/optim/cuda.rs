//! Optimizers on the GPU. Most parameters are small and a launch takes some microseconds whatever it
//! does, so one launch handles all parameters: a kernel finds its own in a table.

use super::gpu_state::GpuState;
use super::{
    GpuSquares, Kernels, Optimizer, ParameterState, Step, Update, adafactor, adamw, squares,
};
use crate::backend::gpu::{GpuBuffer, GpuSlice};
use crate::backend::{Device as _, Gpu, Shape};

impl Kernels for Gpu {
    type Squares = GpuSquares;
    type State = GpuState;

    fn squares(
        &self,
        optimizer: &Optimizer,
        gradients: &[(&GpuSlice, Shape)],
    ) -> (Vec<GpuSquares>, f64) {
        let by_lines = |shape| match optimizer {
            Optimizer::Adafactor(options) => options.factors(shape),
            Optimizer::AdamW(_) => false,
        };
        squares::cuda::squares(self, by_lines, gradients)
    }

    fn update(
        &self,
        optimizer: &Optimizer,
        step: Step,
        updates: Vec<Update<'_, Self>>,
        states: &mut [GpuState],
    ) -> Vec<GpuBuffer> {
        assert_eq!(updates.len(), states.len(), "one state a parameter");
        match optimizer {
            Optimizer::Adafactor(options) => {
                adafactor::cuda::update(self, options, step, &updates, states);
            }
            Optimizer::AdamW(options) => {
                adamw::cuda::update(self, options, step, &updates, states);
            }
        }
        updates.into_iter().map(|update| update.gradient).collect()
    }

    fn download_state(&self, state: &GpuState) -> ParameterState {
        let vectors = state.vectors.iter();
        ParameterState {
            vectors: vectors
                .map(|vector| self.download(vector.as_ref()))
                .collect(),
        }
    }

    fn upload_state(&self, state: ParameterState) -> GpuState {
        let vectors = state.vectors.into_iter();
        GpuState {
            vectors: vectors.map(|vector| self.upload(vector)).collect(),
        }
    }
}
