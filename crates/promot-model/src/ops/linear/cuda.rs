//! The products on the GPU.

use super::{Kernels, Sizes};
use crate::backend::Gpu;
use crate::backend::gpu::{Activations, GpuBuffer, GpuSlice, GpuTensor, Operand};

impl Kernels for Gpu {
    fn linear(&self, x: &GpuSlice, w: &GpuTensor, sizes: Sizes) -> GpuBuffer {
        let mut y = self.uninitialized(sizes.tokens * sizes.out_features);
        let x = Activations::new(x, sizes.in_features);
        self.multiply(x.rows(), Operand::weight(w).t(), y.as_mut(), 1.0, 0.0);
        y
    }

    fn linear_dx(&self, dx: &mut GpuSlice, dy: &GpuSlice, w: &GpuTensor, sizes: Sizes) {
        let dy = Activations::new(dy, sizes.out_features);
        self.multiply(dy.rows(), Operand::weight(w), dx, 1.0, 1.0);
    }

    fn linear_dw(&self, dw: &mut GpuSlice, dy: &GpuSlice, x: &GpuSlice, sizes: Sizes) {
        let dy = Activations::new(dy, sizes.out_features);
        let x = Activations::new(x, sizes.in_features);
        self.multiply(dy.rows().t(), x.rows(), dw, 1.0, 1.0);
    }
}
