//! Adafactor on the GPU. What one launch finds out of all values, the next one reads in device memory:
//! the host waits for nothing.

use super::AdafactorOptions;
use crate::backend::Gpu;
use crate::backend::gpu::{Address, Argument, GpuBuffer, Kernel, Module, index_u32};
use crate::optim::gpu_state::{BLOCK_VALUES, GpuState, Table, doubles};
use crate::optim::{Step, Update};

static MODULE: Module = Module {
    name: "adafactor",
    ptx: include_str!("adafactor.ptx"),
};
const FACTORS: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_factors",
};
const FACTORED_SQUARES: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_factored_squares",
};
const FACTORED_VALUES: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_factored_values",
};
const MOMENTS: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_moments",
};
const UNFACTORED_VALUES: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_unfactored_values",
};
const RATES: Kernel = Kernel {
    module: &MODULE,
    name: "adafactor_rates",
};

/// Threads of a block, each with an `f64` of shared memory where they add up.
const THREADS: u32 = 256;
const SHARED: usize = 8 * THREADS as usize;

/// Puts the new values of all parameters in the place of their gradients.
pub(in crate::optim) fn update(
    gpu: &Gpu,
    options: &AdafactorOptions,
    step: Step,
    updates: &[Update<'_, Gpu>],
    states: &mut [GpuState],
) {
    let (mut factored, mut unfactored) = (Group::default(), Group::default());
    for (update, state) in updates.iter().zip(states) {
        if options.factors(update.shape) {
            factored.push_factored(gpu, update, state);
        } else {
            unfactored.push_unfactored(gpu, update, state);
        }
    }
    let scale = Argument::F32(step.scale);
    let beta = Argument::F32(options.beta(step));
    let with_values = Argument::U32(u32::from(options.multiply_by_parameter_scale));
    let rates = [
        Argument::F32(step.learning_rate),
        Argument::F32(options.clipping_threshold),
        with_values,
    ];

    let table = factored.table.upload(gpu);
    let table = table.as_ref().argument();
    let (each, blocks) = (factored.one_block_each(), factored.all_blocks());
    gpu.launch(FACTORS, each, THREADS, SHARED, &[table, scale, beta]);
    let arguments = [table, with_values];
    gpu.launch(FACTORED_SQUARES, blocks, THREADS, SHARED, &arguments);
    launch_rates(gpu, each, table, rates);
    gpu.launch(FACTORED_VALUES, blocks, THREADS, 0, &[table]);

    let table = unfactored.table.upload(gpu);
    let table = table.as_ref().argument();
    let (each, blocks) = (unfactored.one_block_each(), unfactored.all_blocks());
    let arguments = [table, scale, beta, with_values];
    gpu.launch(MOMENTS, blocks, THREADS, SHARED, &arguments);
    launch_rates(gpu, each, table, rates);
    gpu.launch(UNFACTORED_VALUES, blocks, THREADS, 0, &[table, scale]);
}

fn launch_rates(gpu: &Gpu, grid: [usize; 3], table: Argument, rates: [Argument; 3]) {
    let [learning_rate, threshold, with_values] = rates;
    let arguments = [table, learning_rate, threshold, with_values];
    gpu.launch(RATES, grid, THREADS, SHARED, &arguments);
}

/// Parameters that the same launches handle.
#[derive(Default)]
struct Group {
    table: Table,
    most_blocks: usize,
    /// Memory of the launches alone.
    scratch: Vec<GpuBuffer>,
}

impl Group {
    fn push_factored(&mut self, gpu: &Gpu, update: &Update<'_, Gpu>, state: &mut GpuState) {
        let (rows, columns) = update.shape;
        let moments = state.vectors(gpu, [rows, columns]);
        let moments = moments.map(|vector| vector.address());
        let factors = gpu.uninitialized(rows + columns);
        let statistics = [
            update.squares.sums.as_ref().address(),
            factors.as_ref().address(),
        ];
        self.scratch.push(factors);
        // Rows of a block: its 8 warps take turns with them.
        let block = (BLOCK_VALUES / columns.max(1)).next_multiple_of(8).max(8);
        self.push(gpu, update, moments, statistics, block, rows);
    }

    fn push_unfactored(&mut self, gpu: &Gpu, update: &Update<'_, Gpu>, state: &mut GpuState) {
        let len = update.values.len();
        let [moments] = state.vectors(gpu, [len]);
        let moments = [moments.address(), 0];
        self.push(gpu, update, moments, [0; 2], BLOCK_VALUES, len);
    }

    /// Adds a parameter that is handled in blocks of `block` out of `places` rows or values.
    fn push(
        &mut self,
        gpu: &Gpu,
        update: &Update<'_, Gpu>,
        moments: [Address; 2],
        [squares, factors]: [Address; 2],
        block: usize,
        places: usize,
    ) {
        let blocks = places.div_ceil(block);
        let shares = doubles(gpu, 2 * blocks);
        let rate = gpu.uninitialized(1);
        let addresses = [
            update.gradient.as_ref().address(),
            update.values.address(),
            moments[0],
            moments[1],
            squares,
            factors,
            shares.as_ref().address(),
            rate.as_ref().address(),
        ];
        let (rows, columns) = update.shape;
        let sizes = [rows, columns, block, blocks].map(index_u32);
        self.table.push(&addresses, &sizes);
        self.most_blocks = self.most_blocks.max(blocks);
        self.scratch.extend([shares, rate]);
    }

    fn one_block_each(&self) -> [usize; 3] {
        [self.table.len(), 1, 1]
    }

    fn all_blocks(&self) -> [usize; 3] {
        [self.most_blocks, self.table.len(), 1]
    }
}
