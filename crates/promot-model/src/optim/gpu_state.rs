//! What optimizers keep in GPU memory, and the tables in which kernels find it.

use crate::backend::gpu::{GpuBuffer, GpuSlice};
use crate::backend::{Device as _, Gpu};

/// Values that a block of 256 threads handles where rows do not matter.
pub(super) const BLOCK_VALUES: usize = 64 * 256;

/// What an optimizer remembers of one parameter, in GPU memory.
#[derive(Default)]
pub struct GpuState {
    pub(super) vectors: Vec<GpuBuffer>,
}

impl GpuState {
    /// Its vectors, which are zeros before the first step.
    pub(super) fn vectors<const N: usize>(
        &mut self,
        gpu: &Gpu,
        lengths: [usize; N],
    ) -> [&GpuSlice; N] {
        if self.vectors.is_empty() {
            self.vectors = lengths.map(|len| gpu.zeros(len)).into();
        }
        assert_eq!(self.vectors.len(), N, "vectors of the optimizer's state");
        std::array::from_fn(|i| {
            let vector = self.vectors[i].as_ref();
            assert_eq!(vector.len(), lengths[i], "values of the optimizer's state");
            vector
        })
    }
}

/// What a kernel reads of each parameter: an array of structs.
#[derive(Default)]
pub(super) struct Table {
    words: Vec<u32>,
    len: usize,
}

impl Table {
    /// Appends a struct of 64-bit fields (addresses among them) followed by 32-bit ones, of which there
    /// is an even number so that the next struct is aligned.
    pub(super) fn push(&mut self, wide: &[u64], narrow: &[u32]) {
        assert!(narrow.len().is_multiple_of(2), "whole 64-bit words");
        // The device is little-endian.
        let halves = |&field: &u64| [field as u32, (field >> 32) as u32];
        self.words.extend(wide.iter().flat_map(halves));
        self.words.extend(narrow);
        self.len += 1;
    }

    /// How many structs there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The table on the device.
    pub(super) fn upload(&self, gpu: &Gpu) -> GpuBuffer {
        gpu.upload_u32(&self.words)
    }
}

/// Memory for `len` numbers of 64 bits.
pub(super) fn doubles(gpu: &Gpu, len: usize) -> GpuBuffer {
    gpu.uninitialized(2 * len)
}
