//! Self-attention on the GPU: step by step.

use super::stepwise::{self, Saved};
use super::{Gradients, Kernels, Problem, Tensors, WeightGradients};
use crate::backend::Gpu;
use crate::backend::gpu::GpuBuffer;

impl Kernels for Gpu {
    type Saved = Saved<GpuBuffer>;

    fn self_attention(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
    ) -> (GpuBuffer, Self::Saved) {
        stepwise::forward(self, &tensors, problem)
    }

    fn self_attention_backward(
        &self,
        dy: GpuBuffer,
        saved: Self::Saved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<WeightGradients<GpuBuffer>>,
        with_bias: bool,
    ) -> Gradients<GpuBuffer> {
        stepwise::backward(self, dy, saved, &tensors, problem, weights, with_bias)
    }
}
