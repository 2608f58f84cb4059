//! Sums of squares on the GPU, all in `f64`: squares of `f32` numbers neither overflow nor vanish there.

use crate::backend::gpu::{Argument, GpuBuffer, GpuSlice, Kernel, Module, index_u32};
use crate::backend::{Gpu, Shape};
use crate::optim::gpu_state::{BLOCK_VALUES, Table, doubles};

static MODULE: Module = Module {
    name: "squares",
    ptx: include_str!("squares.ptx"),
};
const TILES: Kernel = Kernel {
    module: &MODULE,
    name: "square_tiles",
};
const LINES: Kernel = Kernel {
    module: &MODULE,
    name: "square_lines",
};
const SHARES: Kernel = Kernel {
    module: &MODULE,
    name: "square_shares",
};
const TOTALS: Kernel = Kernel {
    module: &MODULE,
    name: "square_totals",
};

/// Threads of a block, each with a number of shared memory where they add up.
const THREADS: usize = 256;
const SHARED: usize = 8 * THREADS;
/// Columns of a tile; each of the block's warps has a number for each.
const TILE_COLUMNS: usize = 256;
const TILE_SHARED: usize = 8 * TILE_COLUMNS * THREADS / 32;

/// Sums of a gradient's squares in GPU memory.
pub struct GpuSquares {
    /// The sum of each row, 0 only if all of it is zeros, then the sum of each column, in `f64`. Empty
    /// unless asked for.
    pub(in crate::optim) sums: GpuBuffer,
}

/// Rows of a tile: few enough that all multiprocessors have work, and so many that no column has more
/// than 128 tiles.
fn tile_rows(rows: usize) -> usize {
    rows.div_ceil(128).next_multiple_of(8).max(64)
}

/// What the launches of [`squares`] handle.
#[derive(Default)]
struct Work {
    /// Gradients that are added up by lines, and the most tiles and lines one of them has.
    matrices: Table,
    most_tiles: usize,
    most_lines: usize,
    /// All others, and the most blocks one of them is handled in.
    vectors: Table,
    most_blocks: usize,
    /// For every gradient, what its total is the sum of.
    terms: Table,
    /// What is read by launches after those that write it.
    shares: Vec<GpuBuffer>,
}

/// The sums of each gradient, for rows and columns where `by_lines` says so, and the sum over all
/// gradients: the only number of a step, besides its loss, that the host waits for.
pub(in crate::optim) fn squares(
    gpu: &Gpu,
    by_lines: impl Fn(Shape) -> bool,
    gradients: &[(&GpuSlice, Shape)],
) -> (Vec<GpuSquares>, f64) {
    let mut work = Work::default();
    let sums = gradients.iter().map(|&(gradient, shape)| GpuSquares {
        sums: if by_lines(shape) {
            work.push_matrix(gpu, gradient, shape)
        } else {
            work.push_vector(gpu, gradient);
            gpu.uninitialized(0)
        },
    });
    let sums: Vec<GpuSquares> = sums.collect();
    let totals = doubles(gpu, gradients.len());
    work.launch(gpu, totals.as_ref());
    (sums, gpu.download_f64(totals.as_ref()).iter().sum())
}

impl Work {
    /// Adds a gradient that is added up by rows and columns; returns the place of the sums.
    fn push_matrix(&mut self, gpu: &Gpu, gradient: &GpuSlice, (rows, columns): Shape) -> GpuBuffer {
        let tile_rows = tile_rows(rows);
        let (tiles_down, tiles_across) = (rows.div_ceil(tile_rows), columns.div_ceil(TILE_COLUMNS));
        let sums = doubles(gpu, rows + columns);
        let row_shares = doubles(gpu, rows * tiles_across);
        let column_shares = doubles(gpu, tiles_down * columns);
        let addresses = [
            gradient.address(),
            row_shares.as_ref().address(),
            column_shares.as_ref().address(),
            sums.as_ref().address(),
        ];
        let sizes = [rows, columns, tile_rows, tiles_down].map(index_u32);
        self.matrices.push(&addresses, &sizes);
        self.most_tiles = self.most_tiles.max(tiles_down * tiles_across);
        self.most_lines = self.most_lines.max(rows + columns);
        // Both rows and columns add up to the total.
        self.terms
            .push(&[sums.as_ref().address(), rows as u64], &[]);
        self.shares.extend([row_shares, column_shares]);
        sums
    }

    /// Adds a gradient of which only the total is wanted.
    fn push_vector(&mut self, gpu: &Gpu, gradient: &GpuSlice) {
        let blocks = gradient.len().div_ceil(BLOCK_VALUES);
        let shares = doubles(gpu, blocks);
        let address = shares.as_ref().address();
        let (len, blocks_u64) = (gradient.len() as u64, blocks as u64);
        self.vectors.push(&[gradient.address(), address, len], &[]);
        self.terms.push(&[address, blocks_u64], &[]);
        self.most_blocks = self.most_blocks.max(blocks);
        self.shares.push(shares);
    }

    fn launch(&self, gpu: &Gpu, totals: &GpuSlice) {
        let threads = THREADS as u32;
        let matrices = self.matrices.upload(gpu);
        let table = [matrices.as_ref().argument()];
        let grid = [self.most_tiles, self.matrices.len(), 1];
        gpu.launch(TILES, grid, threads, TILE_SHARED, &table);
        let blocks = self.most_lines.div_ceil(THREADS);
        let grid = [blocks, self.matrices.len(), 1];
        gpu.launch(LINES, grid, threads, 0, &table);

        let vectors = self.vectors.upload(gpu);
        let block_values = Argument::U32(index_u32(BLOCK_VALUES));
        let arguments = [vectors.as_ref().argument(), block_values];
        let grid = [self.most_blocks, self.vectors.len(), 1];
        gpu.launch(SHARES, grid, threads, SHARED, &arguments);

        let terms = self.terms.upload(gpu);
        let arguments = [terms.as_ref().argument(), totals.argument()];
        let grid = [self.terms.len(), 1, 1];
        gpu.launch(TOTALS, grid, threads, SHARED, &arguments);
    }
}
