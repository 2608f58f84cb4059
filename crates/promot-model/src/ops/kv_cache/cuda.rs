//! The cache on the GPU: rows one after another, copied once a step to where the new token goes, too.

use super::Kernels;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, GpuTensor, Kernel, Module, index_u32};
use crate::backend::{Device as _, Gpu};
use crate::ops::attention::{Inputs, Kernels as _, Problem};

static MODULE: Module = Module {
    name: "kv_cache",
    ptx: include_str!("kv_cache.ptx"),
};
const EXTEND: Kernel = Kernel {
    module: &MODULE,
    name: "extend_cache",
};

/// Keys and values, `(rows * steps, G * d_kv)` each.
#[derive(Default)]
pub struct GpuKvCache {
    rows: Option<[GpuBuffer; 2]>,
    steps: usize,
}

impl Kernels for Gpu {
    type KvCache = GpuKvCache;

    fn extend_cache(&self, cache: &mut GpuKvCache, new: [&GpuTensor; 2], sources: &[usize]) {
        let indices: Vec<u32> = sources.iter().map(|&source| index_u32(source)).collect();
        let indices = self.upload_u32(&indices);
        let extended = [0, 1].map(|part| {
            let width = Self::shape(new[part]).1;
            let before = cache.rows.as_ref().map(|rows| rows[part].as_ref());
            let y = self.uninitialized(sources.len() * (cache.steps + 1) * width);
            let arguments = [
                y.as_ref().argument(),
                before.map_or(Argument::Address(0), GpuSlice::argument),
                Self::slice(new[part]).argument(),
                indices.as_ref().argument(),
                Argument::U64((cache.steps * width) as u64),
                Argument::U32(index_u32(width)),
                Argument::U64(y.as_ref().len() as u64),
            ];
            self.launch_over(EXTEND, y.as_ref().len(), &arguments);
            y
        });
        cache.rows = Some(extended);
        cache.steps += 1;
    }

    fn attention_to_cache(
        &self,
        q: &GpuSlice,
        cache: &GpuKvCache,
        bias: Option<&GpuSlice>,
        problem: &Problem,
    ) -> (GpuBuffer, GpuBuffer) {
        let [k, v] = cache.rows.as_ref().expect("a token of each row");
        let (k, v) = (k.as_ref(), v.as_ref());
        self.attention(Inputs { q, k, v, bias }, problem)
    }
}
