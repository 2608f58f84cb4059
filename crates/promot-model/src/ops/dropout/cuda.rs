//! Masks on the GPU.

use super::{DropoutKey, Kernels};
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};
use crate::ops::parallel::BLOCK_VALUES;

static MODULE: Module = Module {
    name: "dropout",
    ptx: include_str!("dropout.ptx"),
};
const DROPOUT: Kernel = Kernel {
    module: &MODULE,
    name: "dropout",
};
const DROPOUT_DX: Kernel = Kernel {
    module: &MODULE,
    name: "dropout_dx",
};
const ROW_DROPOUT: Kernel = Kernel {
    module: &MODULE,
    name: "row_dropout",
};
const DROP_ROWS: Kernel = Kernel {
    module: &MODULE,
    name: "drop_rows",
};
const ADD_DROPPED_ROWS: Kernel = Kernel {
    module: &MODULE,
    name: "add_dropped_rows",
};

/// A mask's key, how many of 2^24 numbers zero a value, and what other values are multiplied with.
/// Without a key, a mask of ones.
pub(in crate::ops) fn mask_arguments(key: Option<DropoutKey>) -> [Argument; 3] {
    let (key, zeroed, scale) = key.map_or((0, 0, 1.0), |key| {
        let mask = key.mask();
        (key.key, mask.zeroed, mask.scale)
    });
    [
        Argument::U64(key),
        Argument::U32(zeroed),
        Argument::F32(scale),
    ]
}

impl Gpu {
    fn dropout_kernel(
        &self,
        kernel: Kernel,
        y: &mut GpuSlice,
        x: &GpuSlice,
        key: DropoutKey,
        columns: usize,
    ) {
        let [key, zeroed, scale] = mask_arguments(Some(key));
        let arguments = [
            y.argument(),
            x.argument(),
            key,
            zeroed,
            scale,
            Argument::U32(index_u32(columns)),
            Argument::U64(x.len() as u64),
        ];
        self.launch_over(kernel, x.len(), &arguments);
    }

    /// Rows of `columns` values, each row with a mask of its own whose positions are columns.
    pub(in crate::ops) fn drop_rows(
        &self,
        x: &GpuSlice,
        columns: usize,
        key: DropoutKey,
    ) -> GpuBuffer {
        let mut y = self.uninitialized(x.len());
        self.dropout_kernel(DROP_ROWS, y.as_mut(), x, key, columns);
        y
    }

    /// `y = x + dropout(y)` with the masks of [`Gpu::drop_rows`].
    pub(in crate::ops) fn add_dropped_rows(
        &self,
        y: &mut GpuSlice,
        x: &GpuSlice,
        columns: usize,
        key: DropoutKey,
    ) {
        self.dropout_kernel(ADD_DROPPED_ROWS, y, x, key, columns);
    }
}

// Blocks of values have masks of their own, the same ones as on the CPU.
impl Kernels for Gpu {
    fn dropout(&self, x: &GpuSlice, key: DropoutKey) -> GpuBuffer {
        let mut y = self.uninitialized(x.len());
        self.dropout_kernel(DROPOUT, y.as_mut(), x, key, BLOCK_VALUES);
        y
    }

    fn dropout_dx(&self, dx: &mut GpuSlice, dy: &GpuSlice, key: DropoutKey) {
        self.dropout_kernel(DROPOUT_DX, dx, dy, key, BLOCK_VALUES);
    }

    fn row_dropout(&self, x: &GpuSlice, columns: usize, key: DropoutKey) -> GpuBuffer {
        let mut y = self.uninitialized(x.len());
        let mask = key.mask();
        let arguments = [
            y.as_mut().argument(),
            x.argument(),
            Argument::U32(mask.keys[0]),
            Argument::U32(mask.keys[1]),
            Argument::U32(mask.zeroed),
            Argument::F32(mask.scale),
            Argument::U32(index_u32(columns.max(1))),
            Argument::U64(x.len() as u64),
        ];
        self.launch_over(ROW_DROPOUT, x.len(), &arguments);
        y
    }
}
