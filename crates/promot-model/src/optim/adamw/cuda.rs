//! AdamW on the GPU: one launch for all parameters.

use super::AdamWOptions;
use crate::backend::Gpu;
use crate::backend::gpu::{Argument, Kernel, Module, index_u32};
use crate::optim::gpu_state::{BLOCK_VALUES, GpuState, Table};
use crate::optim::{Step, Update};

static MODULE: Module = Module {
    name: "adamw",
    ptx: include_str!("adamw.ptx"),
};
const VALUES: Kernel = Kernel {
    module: &MODULE,
    name: "adamw_values",
};

/// Puts the new values of all parameters in the place of their gradients.
pub(in crate::optim) fn update(
    gpu: &Gpu,
    options: &AdamWOptions,
    step: Step,
    updates: &[Update<'_, Gpu>],
    states: &mut [GpuState],
) {
    let (mut table, mut most_blocks) = (Table::default(), 0);
    for (update, state) in updates.iter().zip(states) {
        let len = update.values.len();
        let [first, second] = state.vectors(gpu, [len; 2]);
        let fields = [
            update.gradient.as_ref().address(),
            update.values.address(),
            first.address(),
            second.address(),
            len as u64,
        ];
        table.push(&fields, &[]);
        most_blocks = most_blocks.max(len.div_ceil(BLOCK_VALUES));
    }
    let grid = [most_blocks, table.len(), 1];
    let (first_correction, second_correction) = options.corrections(step);
    let table = table.upload(gpu);
    let arguments = [
        table.as_ref().argument(),
        Argument::U32(index_u32(BLOCK_VALUES)),
        Argument::F32(step.scale),
        Argument::F32(step.learning_rate),
        Argument::F32(options.beta1),
        Argument::F32(options.beta2),
        Argument::F32(options.epsilon),
        Argument::F32(options.weight_decay),
        Argument::F32(first_correction),
        Argument::F32(second_correction),
    ];
    gpu.launch(VALUES, grid, 256, 0, &arguments);
}
