//! Cross-attention on the GPU, whose kernels hold a head's columns in registers: states are too wide for
//! that, keys and values are not.

use super::projected::{self, Saved};
use super::{Gradients, Inputs, Kernels, Problem};
use crate::backend::Gpu;
use crate::backend::gpu::{GpuBuffer, GpuSlice};

impl Kernels for Gpu {
    type Saved = Saved<GpuBuffer>;

    fn cross_attention(
        &self,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
    ) -> (GpuBuffer, Self::Saved) {
        projected::forward(self, inputs, problem)
    }

    fn cross_attention_backward(
        &self,
        dy: &GpuSlice,
        y: &GpuSlice,
        saved: Self::Saved,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
        gradients: &mut Gradients<GpuBuffer>,
    ) -> GpuBuffer {
        projected::backward(self, [dy, y], saved, inputs, problem, gradients)
    }
}
