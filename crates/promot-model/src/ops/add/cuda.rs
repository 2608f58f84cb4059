//! The sum on the GPU.

use super::Kernels;
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module};

static MODULE: Module = Module {
    name: "add",
    ptx: include_str!("add.ptx"),
};
const ADD: Kernel = Kernel {
    module: &MODULE,
    name: "add",
};
const ADD_ASSIGN: Kernel = Kernel {
    module: &MODULE,
    name: "add_assign",
};

impl Kernels for Gpu {
    fn add(&self, a: &GpuSlice, b: &GpuSlice) -> GpuBuffer {
        let y = self.uninitialized(a.len());
        let arguments = [
            y.as_ref().argument(),
            a.argument(),
            b.argument(),
            Argument::U64(a.len() as u64),
        ];
        self.launch_over(ADD, a.len(), &arguments);
        y
    }

    fn add_assign(&self, total: &mut GpuSlice, x: &GpuSlice) {
        self.add_at(total, x, 0);
    }
}

impl Gpu {
    /// Adds as many values of `x`, from `first` on, as `total` has.
    pub(in crate::ops) fn add_at(&self, total: &mut GpuSlice, x: &GpuSlice, first: usize) {
        assert!(first + total.len() <= x.len(), "add: values");
        let arguments = [
            total.argument(),
            Argument::Address(x.address_of(first)),
            Argument::U64(total.len() as u64),
        ];
        self.launch_over(ADD_ASSIGN, total.len(), &arguments);
    }
}
