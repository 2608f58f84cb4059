//! The product with a number on the GPU.

use super::Kernels;
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module};

static MODULE: Module = Module {
    name: "scale",
    ptx: include_str!("scale.ptx"),
};
const SCALE: Kernel = Kernel {
    module: &MODULE,
    name: "scale",
};

impl Kernels for Gpu {
    fn scale(&self, x: &GpuSlice, factor: f32) -> GpuBuffer {
        let y = self.uninitialized(x.len());
        let arguments = [
            y.as_ref().argument(),
            x.argument(),
            Argument::F32(factor),
            Argument::U64(x.len() as u64),
        ];
        self.launch_over(SCALE, x.len(), &arguments);
        y
    }
}
