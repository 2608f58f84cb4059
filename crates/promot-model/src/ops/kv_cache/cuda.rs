//! The copy on the GPU.

use super::{Kernels, Sizes};
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};

static MODULE: Module = Module {
    name: "kv_cache",
    ptx: include_str!("kv_cache.ptx"),
};
const EXTEND: Kernel = Kernel {
    module: &MODULE,
    name: "extend_cache",
};

impl Kernels for Gpu {
    fn extend_cache(
        &self,
        cache: Option<&GpuSlice>,
        new: &GpuSlice,
        sources: &[usize],
        Sizes { steps, width }: Sizes,
    ) -> GpuBuffer {
        assert!(cache.is_some() || steps == 0, "a cache of earlier steps");
        let y = self.uninitialized(sources.len() * (steps + 1) * width);
        let sources: Vec<u32> = sources.iter().map(|&source| index_u32(source)).collect();
        let sources = self.upload_u32(&sources);
        let arguments = [
            y.as_ref().argument(),
            cache.map_or(Argument::Address(0), GpuSlice::argument),
            new.argument(),
            sources.as_ref().argument(),
            Argument::U64((steps * width) as u64),
            Argument::U32(index_u32(width)),
            Argument::U64(y.as_ref().len() as u64),
        ];
        self.launch_over(EXTEND, y.as_ref().len(), &arguments);
        y
    }
}
