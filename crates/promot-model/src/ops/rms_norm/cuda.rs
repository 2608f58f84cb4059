//! Normalisation on the GPU, a row a block.

use super::Kernels;
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, Terms, index_u32};
use crate::gemm::Precision;

static MODULE: Module = Module {
    name: "rms_norm",
    ptx: include_str!("rms_norm.ptx"),
};
const F32: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_f32",
};
const BF16: Kernel = Kernel {
    module: &MODULE,
    name: "rms_norm_bf16",
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

impl Gpu {
    /// [`Kernels::rms_norm`] of rows as wide as `w` that only products read.
    pub(in crate::ops) fn rms_norm_terms(&self, x: &GpuSlice, w: &GpuSlice, eps: f32) -> Terms {
        let width = w.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        let y = self.terms(rows, width);
        let kernel = match self.precision() {
            Precision::F32 => F32,
            Precision::Bf16 => BF16,
        };
        self.normalize(kernel, rows, y.argument(), x, w, eps);
        y
    }

    fn normalize(
        &self,
        kernel: Kernel,
        rows: usize,
        y: Argument,
        x: &GpuSlice,
        w: &GpuSlice,
        eps: f32,
    ) {
        let arguments = [
            y,
            x.argument(),
            w.argument(),
            Argument::U32(index_u32(w.len())),
            Argument::F32(eps),
        ];
        self.launch(kernel, [rows, 1, 1], THREADS, SHARED, &arguments);
    }
}

impl Kernels for Gpu {
    fn rms_norm(&self, x: &GpuSlice, w: &GpuSlice, width: usize, eps: f32) -> GpuBuffer {
        let y = self.uninitialized(x.len());
        let rows = x.len().checked_div(width).unwrap_or(0);
        self.normalize(F32, rows, y.as_ref().argument(), x, w, eps);
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
