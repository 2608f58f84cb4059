//! Products of panels: a block of the output after another, and all of them over the tasks of a [`Grid`].

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::Precision;
use super::amx::Tiles;
use super::dot::DotProducts;
use super::grid::Grid;
use super::kernel::Kernel;
use super::matrix::Matrix;
use super::multiply::{Multiply, Pair};
use super::packed::Packed;
use super::panels::{PANEL, Panels, TILE_LEN, TILE_TERMS};
use super::part::{LeftPart, Part};
use super::scratch::with_scratch;
use super::tile::Source;

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) values: *mut f32,
    pub(super) stride: usize,
}

// SAFETY: tasks write disjoint parts of the memory behind it.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    /// The row and the column lie in the output.
    unsafe fn starting_at(self, row: usize, column: usize) -> Self {
        Self {
            // SAFETY: as the caller promises.
            values: unsafe { self.values.add(row * self.stride + column) },
            ..self
        }
    }
}

/// Some rows and terms of a left factor, some columns of a right one from one of its terms on.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) a: &'a Panels,
    pub(super) left: LeftPart,
    pub(super) b: &'a Panels,
    pub(super) right: Part,
}

impl Operands<'_> {
    fn steps(&self) -> usize {
        self.left.terms.div_ceil(TILE_TERMS)
    }

    /// Panel `i` of the left part and `j` of the right one.
    fn pair(&self, i: usize, j: usize) -> Pair {
        let Self { a, left, b, right } = *self;
        Pair {
            a: a.address(left.first_row / PANEL + i, left.first_term / TILE_TERMS),
            b: b.address(
                right.first_column / PANEL + j,
                right.first_term / TILE_TERMS,
            ),
            steps: self.steps(),
        }
    }
}

/// Operands whose products are added up while the sums are in registers, at most.
pub(super) const MOST_OPERANDS: usize = 4;

/// The sum of products of so many rows and columns, on one thread.
///
/// # Safety
/// `out` has the rows of the left parts and the columns of the right ones, and nobody else uses them; the parts
/// lie in their factors and start at whole tiles. There are [`MOST_OPERANDS`] at most.
pub(super) unsafe fn multiply(out: Output, operands: &[Operands<'_>], accumulate: bool) {
    let Some(first) = operands.first() else {
        return;
    };
    // SAFETY: as the caller promises; factors are packed in panels only where the instructions are available.
    unsafe {
        match Kernel::get() {
            Kernel::Amx => {
                let tiles = Tiles::configure(first.left.rows);
                multiply_by(&tiles, out, operands, accumulate);
            }
            Kernel::Avx512Bf16 => multiply_by(&DotProducts, out, operands, accumulate),
            Kernel::Portable => panic!("factors packed for different kernels"),
        }
    }
}

/// # Safety
/// As of [`multiply`], with operands; the processor has AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn multiply_by(
    instructions: &impl Multiply,
    out: Output,
    operands: &[Operands<'_>],
    accumulate: bool,
) {
    let (m, n) = (operands[0].left.rows, operands[0].right.columns);
    let (planes, stride) = (operands[0].a.planes, out.stride);
    let mut steps = 0;
    for each in operands {
        assert_eq!(
            [each.left.rows, each.right.columns],
            [m, n],
            "shapes of products"
        );
        assert_eq!(
            [each.a.planes, each.b.planes],
            [planes; 2],
            "precisions of the factors"
        );
        steps += each.steps();
    }
    if steps == 0 {
        for row in 0..if accumulate { 0 } else { m } {
            // SAFETY: within the part of the output that the caller gave.
            unsafe { std::slice::from_raw_parts_mut(out.values.add(row * stride), n) }.fill(0.0);
        }
        return;
    }
    let mut block = Block(MaybeUninit::uninit());
    let mut pairs = [Pair::default(); MOST_OPERANDS];
    let panels = n.div_ceil(PANEL);
    let group = (GROUP_BYTES / (steps * planes * 2 * TILE_LEN * size_of::<u16>())).max(1);
    for first in (0..panels).step_by(group) {
        for i in 0..m.div_ceil(PANEL) {
            // Blocks of the output side by side, one after another: its lines are written in the
            // order in which they lie there, as far as the group goes.
            for j in first..(first + group).min(panels) {
                let (row, column) = (i * PANEL, j * PANEL);
                let (rows, columns) = (PANEL.min(m - row), PANEL.min(n - column));
                let mut count = 0;
                for operands in operands.iter().filter(|operands| operands.steps() > 0) {
                    pairs[count] = operands.pair(i, j);
                    count += 1;
                }
                let pairs = &pairs[..count];
                // SAFETY: the panels have these steps; the block lies in the output where it is
                // whole, and is read to `block` and written from there where it is not.
                unsafe {
                    let c = out.values.add(row * stride + column);
                    if columns == PANEL && instructions.in_place(rows) {
                        if rows == PANEL {
                            prefetch_block(c.wrapping_add(PANEL), stride);
                        }
                        let c = (c, stride);
                        instructions.multiply(planes, pairs, c, rows, accumulate);
                    } else {
                        if accumulate {
                            block.read(c, stride, rows, columns);
                        }
                        let sums = (block.rows().cast(), PANEL);
                        instructions.multiply(planes, pairs, sums, rows, accumulate);
                        block.write(c, stride, rows, columns);
                    }
                }
            }
        }
    }
}

/// Asks for a block of 32x32 values to be written to; an address that is not ours is ignored.
#[inline]
fn prefetch_block(block: *const f32, stride: usize) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    for row in 0..PANEL {
        let line = block.wrapping_add(row * stride).cast::<i8>();
        // SAFETY: a prefetch reads nothing and faults on no address.
        unsafe {
            _mm_prefetch::<_MM_HINT_ET0>(line);
            _mm_prefetch::<_MM_HINT_ET0>(line.wrapping_add(64));
        }
    }
}

/// Panels of `b` that every panel of `a` is multiplied with before the next ones: as many as the
/// second-level cache holds beside a task's rows of `a`.
const GROUP_BYTES: usize = 256 << 10;

/// The sums of a block that sticks out of the output: where it does, they are anything.
#[repr(C, align(64))]
struct Block(MaybeUninit<[[f32; PANEL]; PANEL]>);

impl Block {
    fn rows(&mut self) -> *mut [f32; PANEL] {
        self.0.as_mut_ptr().cast()
    }

    /// # Safety
    /// `out` has `rows` rows of `columns` values, `stride` values apart.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn read(&mut self, out: *const f32, stride: usize, rows: usize, columns: usize) {
        for row in 0..rows {
            // SAFETY: as the caller promises.
            let out = unsafe { std::slice::from_raw_parts(out.add(row * stride), columns) };
            let sums = out.try_into().unwrap_or_else(|_| {
                let mut sums = [0.0; PANEL];
                sums[..columns].copy_from_slice(out);
                sums
            });
            // SAFETY: one of 32 rows.
            unsafe { self.rows().add(row).write(sums) };
        }
    }

    /// # Safety
    /// As of [`Self::read`]; nobody else uses the output, and so many rows of sums have been written.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn write(&mut self, out: *mut f32, stride: usize, rows: usize, columns: usize) {
        for row in 0..rows {
            // SAFETY: as the caller promises.
            let (out, sums) = unsafe {
                (
                    std::slice::from_raw_parts_mut(out.add(row * stride), columns),
                    &*self.rows().add(row),
                )
            };
            match <&mut [f32; PANEL]>::try_from(&mut *out) {
                // A whole row, so that this is a loop over registers.
                Ok(out) => *out = *sums,
                Err(_) => out.copy_from_slice(&sums[..columns]),
            }
        }
    }
}

/// # Safety
/// `out` holds the product of `a` and `b`, whose rows and columns are the grid's, and nobody else
/// uses it.
pub(super) unsafe fn fill_grid<E: Source>(
    out: Output,
    grid: &Grid,
    a: Matrix<'_, E>,
    b: &Panels,
    accumulate: bool,
    precision: Precision,
) {
    (0..grid.tasks()).into_par_iter().for_each(|task| {
        let (rows, columns) = grid.task(task);
        // Long sums are cut, so that a part of `a` is still in the cache for all columns.
        for first_term in (0..a.columns.max(1)).step_by(TERMS) {
            let right = Part {
                first_column: columns.start,
                columns: columns.len(),
                first_term,
            };
            let terms = TERMS.min(a.columns - first_term);
            let a = a.row_range(rows.start, rows.len());
            let a = a.t().row_range(first_term, terms).t();
            with_scratch(|[packed, _]| {
                let (a, left) = packed_left(packed, a, precision);
                let operands = Operands { a, left, b, right };
                // SAFETY: the task's rows and columns lie in `out`, and no other task has them.
                unsafe {
                    let out = out.starting_at(rows.start, columns.start);
                    multiply(out, &[operands], accumulate || first_term > 0);
                };
            });
        }
    });
}

/// # Safety
/// As of [`fill_grid`].
pub(super) unsafe fn fill_grid_packed(
    out: Output,
    grid: &Grid,
    a: &Panels,
    b: &Panels,
    accumulate: bool,
) {
    (0..grid.tasks()).into_par_iter().for_each(|task| {
        let (rows, columns) = grid.task(task);
        for first_term in (0..a.terms.max(1)).step_by(TERMS) {
            let left = LeftPart {
                first_row: rows.start,
                rows: rows.len(),
                first_term,
                terms: TERMS.min(a.terms - first_term),
            };
            let right = Part {
                first_column: columns.start,
                columns: columns.len(),
                first_term,
            };
            let operands = Operands { a, left, b, right };
            // SAFETY: the task's rows and columns lie in `out`, and no other task has them.
            unsafe {
                let out = out.starting_at(rows.start, columns.start);
                multiply(out, &[operands], accumulate || first_term > 0);
            };
        }
    });
}

/// The left factor of a task, packed by its thread.
fn packed_left<'s, E: Source>(
    packed: &'s mut Packed,
    a: Matrix<'s, E>,
    precision: Precision,
) -> (&'s Panels, LeftPart) {
    let factor = packed.pack_a(a, precision);
    match factor.panels() {
        Some(panels) => (panels, LeftPart::all(factor)),
        None => panic!("factors packed for different kernels"),
    }
}

/// # Safety
/// As of [`fill_grid`], for every output and its right factor. They have as many terms as `a` has columns.
pub(super) unsafe fn fill_rows<E: Source>(
    products: &[(Output, &Panels)],
    a: Matrix<'_, E>,
    precision: Precision,
) {
    let grid = Grid::new(a.rows, 1);
    (0..grid.tasks()).into_par_iter().for_each(|task| {
        let (rows, _) = grid.task(task);
        let a = a.row_range(rows.start, rows.len());
        for first_term in (0..a.columns.max(1)).step_by(TERMS) {
            let terms = TERMS.min(a.columns - first_term);
            let a = a.t().row_range(first_term, terms).t();
            with_scratch(|[packed, _]| {
                let (a, left) = packed_left(packed, a, precision);
                for (out, b) in products {
                    let right = Part {
                        first_column: 0,
                        columns: b.width,
                        first_term,
                    };
                    let operands = Operands { a, left, b, right };
                    // SAFETY: the task's rows lie in `out`, and no other task has them.
                    unsafe {
                        multiply(out.starting_at(rows.start, 0), &[operands], first_term > 0)
                    };
                }
            });
        }
    });
}

/// Terms of a sum that one thread handles at a time: the packed rows of a task fill half of the
/// second-level cache at most.
const TERMS: usize = 1024;
