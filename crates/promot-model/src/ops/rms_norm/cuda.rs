//! Normalisation on the GPU, a row a block.

use super::Kernels;
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};

static MODULE: Module = Module {
    name: "rms_norm",
    ptx: include_str!("rms_norm.ptx"),
};
const FORWARD: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_forward",
};
const DX: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_dx",
};
const INVERSE_RMS: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_inverse",
};
const DW_SHARES: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_dw_shares",
};
const DW: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_dw",
};

/// Threads of a block, and the shared memory for their sums.
const THREADS: u32 = 256;
const SHARED: usize = 4 * THREADS as usize / 32;
/// Rows whose share of the scale's gradient one block adds up.
const SHARE_ROWS: usize = 64;

impl Kernels for Gpu {
    fn rms_norm(&self, x: &GpuSlice, w: &GpuSlice, width: usize, eps: f32) -> GpuBuffer {
        let y = self.uninitialized(x.len());
        let arguments = [
            y.as_ref().argument(),
            x.argument(),
            w.argument(),
            Argument::U32(index_u32(width)),
            Argument::F32(eps),
        ];
        let rows = x.len().checked_div(width).unwrap_or(0);
        self.launch(FORWARD, [rows, 1, 1], THREADS, SHARED, &arguments);
        y
    }

    fn rms_norm_dx(&self, dx: &mut GpuSlice, dy: &GpuSlice, x: &GpuSlice, w: &GpuSlice, eps: f32) {
        let arguments = [
            dx.argument(),
            dy.argument(),
            x.argument(),
            w.argument(),
            Argument::U32(index_u32(w.len())),
            Argument::F32(eps),
        ];
        let rows = x.len().checked_div(w.len()).unwrap_or(0);
        self.launch(DX, [rows, 1, 1], THREADS, SHARED, &arguments);
    }

    fn rms_norm_dw(&self, dw: &mut GpuSlice, dy: &GpuSlice, x: &GpuSlice, eps: f32) {
        let width = dw.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        let inverse = self.uninitialized(rows);
        let width_argument = Argument::U32(index_u32(width));
        let arguments = [
            inverse.as_ref().argument(),
            x.argument(),
            width_argument,
            Argument::F32(eps),
        ];
        self.launch(INVERSE_RMS, [rows, 1, 1], THREADS, SHARED, &arguments);

        let blocks = rows.div_ceil(SHARE_ROWS);
        let shares = self.uninitialized(blocks * width);
        let arguments = [
            shares.as_ref().argument(),
            dy.argument(),
            x.argument(),
            inverse.as_ref().argument(),
            Argument::U32(index_u32(rows)),
            width_argument,
            Argument::U32(index_u32(SHARE_ROWS)),
        ];
        let grid = [width.div_ceil(THREADS as usize), blocks, 1];
        self.launch(DW_SHARES, grid, THREADS, 0, &arguments);

        let arguments = [
            dw.argument(),
            shares.as_ref().argument(),
            Argument::U32(index_u32(blocks)),
            width_argument,
        ];
        self.launch_over(DW, width, &arguments);
    }
}
