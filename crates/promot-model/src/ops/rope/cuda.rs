//! Rotations on the GPU, a pair of columns a thread.

use super::{Kernels, Sizes};
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};

static MODULE: Module = Module {
    name: "rope",
    ptx: include_str!("rope.ptx"),
};
const ROPE: Kernel = Kernel {
    module: &MODULE,
    name: "rope",
};

impl Kernels for Gpu {
    fn rope(&self, x: &GpuSlice, angles: &GpuSlice, sizes: Sizes, back: bool) -> GpuBuffer {
        let Sizes { width, d_head } = sizes;
        let y = self.uninitialized(x.len());
        let arguments = [
            y.as_ref().argument(),
            x.argument(),
            angles.argument(),
            Argument::U32(index_u32(width)),
            Argument::U32(index_u32(d_head)),
            Argument::F32(if back { -1.0 } else { 1.0 }),
            Argument::U64(x.len() as u64 / 2),
        ];
        self.launch_over(ROPE, x.len() / 2, &arguments);
        y
    }
}
