//! Products of packed factors, on one thread or split into blocks of the output.

use std::cell::RefCell;

use rayon::prelude::*;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::matrix::Element as Source;
use super::matrix::Matrix;
use super::packed::{Factor, Form, Packed};
use super::{Precision, portable};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::{
    amx::{PANEL, TILE_TERMS, Tiles, multiply_panels},
    panels::{Panels, Source},
};

/// `out (+)= a b` of packed factors on the calling thread; rows of `out` start every `stride`
/// values.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different precisions.
pub fn matmul_packed(
    out: &mut [f32],
    stride: usize,
    a: Factor<'_>,
    b: Factor<'_>,
    accumulate: bool,
) {
    matmul_part(out, stride, a, b, Part::all(b), accumulate);
}

/// A part of a right factor: some of its columns and as many of its rows as the left factor has
/// columns. Both start at a multiple of 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) first_column: usize,
    pub(crate) columns: usize,
    pub(crate) first_term: usize,
}

impl Part {
    fn all(b: Factor<'_>) -> Self {
        Self {
            first_column: 0,
            columns: b.width(),
            first_term: 0,
        }
    }
}

/// `out (+)= a b` for a part of `b`.
///
/// # Panics
/// If the shapes do not fit, or the factors were packed in different precisions.
pub(crate) fn matmul_part(
    out: &mut [f32],
    stride: usize,
    a: Factor<'_>,
    b: Factor<'_>,
    part: Part,
    accumulate: bool,
) {
    let (m, n) = (a.width(), part.columns);
    assert!(
        part.first_column + n <= b.width() && part.first_term + a.terms() <= b.terms(),
        "part of the right factor"
    );
    assert!(
        part.first_column.is_multiple_of(32) && part.first_term.is_multiple_of(32),
        "parts start at whole tiles"
    );
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        n <= stride && (m - 1) * stride + n <= out.len(),
        "product within its memory"
    );
    match (a.0, b.0) {
        (Form::Dense(a), Form::Dense(b)) => {
            let b = b.row_range(part.first_column, n).t();
            let b = b.row_range(part.first_term, a.columns);
            portable::matmul_serial(out, stride, a, b, accumulate);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Form::Panels(a), Form::Panels(b)) => {
            let out = Output {
                values: out.as_mut_ptr(),
                stride,
            };
            // SAFETY: `out` was checked to hold the product, and is borrowed for it alone.
            unsafe { multiply(out, a, b, part, accumulate) };
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        _ => panic!("factors packed for different kernels"),
    }
}

/// `out (+)= a b` on the calling thread; rows of `out` start every `stride` values.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_serial<E: Source, F: Source>(
    out: &mut [f32],
    stride: usize,
    a: Matrix<'_, E>,
    b: Matrix<'_, F>,
    accumulate: bool,
    precision: Precision,
) {
    with_scratch(|[packed_a, packed_b]| {
        let (a, b) = (packed_a.pack_a(a, precision), packed_b.pack_b(b, precision));
        matmul_packed(out, stride, a, b, accumulate);
    });
}

/// The right factor of a product over all threads.
pub enum Right<'a, F = f32> {
    /// Still to be packed.
    Matrix(Matrix<'a, F>),
    /// Packed before.
    Factor(Factor<'a>),
}

impl<'a, F> From<Matrix<'a, F>> for Right<'a, F> {
    fn from(matrix: Matrix<'a, F>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a> From<Factor<'a>> for Right<'a> {
    fn from(factor: Factor<'a>) -> Self {
        Self::Factor(factor)
    }
}

/// `out = a b`, or `out += a b` if `accumulate`; `out` is dense and row-major. Runs on rayon's
/// threads; the result does not depend on how many there are.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul<'b, E: Source, F: Source>(
    out: &mut [f32],
    a: Matrix<'_, E>,
    b: impl Into<Right<'b, F>>,
    accumulate: bool,
    precision: Precision,
) {
    match b.into() {
        Right::Factor(b) => by_blocks(out, a, b, accumulate, precision),
        Right::Matrix(b) => {
            let mut packed = Packed::default();
            let b = packed.par_pack_b(b, precision);
            by_blocks(out, a, b, accumulate, precision);
        }
    }
}

/// `a b` in memory of its own, which is not filled before. Otherwise like [`matmul`].
///
/// # Panics
/// If the shapes do not fit.
pub fn product<E: Source>(a: Matrix<'_, E>, b: Factor<'_>, precision: Precision) -> Vec<f32> {
    let len = a.rows * b.width();
    match b.0 {
        Form::Dense(_) => {
            let mut out = vec![0.0; len];
            by_blocks(&mut out, a, b, false, precision);
            out
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Form::Panels(b) => {
            assert_eq!(a.columns, b.terms, "inner dimensions");
            if len == 0 {
                return Vec::new();
            }
            let mut out = Vec::with_capacity(len);
            let grid = Grid::new(a.rows, b.width);
            let output = Output {
                values: out.as_mut_ptr(),
                stride: b.width,
            };
            // SAFETY: the memory holds the product; every value of it is written.
            unsafe {
                fill_grid(output, &grid, a, b, false, precision);
                out.set_len(len);
            }
            out
        }
    }
}

fn by_blocks<E: Source>(
    out: &mut [f32],
    a: Matrix<'_, E>,
    b: Factor<'_>,
    accumulate: bool,
    precision: Precision,
) {
    let (m, n) = (a.rows, b.width());
    assert_eq!(out.len(), m * n, "values of the product");
    assert_eq!(a.columns, b.terms(), "inner dimensions");
    if m == 0 || n == 0 {
        return;
    }
    match b.0 {
        Form::Dense(b) => {
            let mut packed = Packed::default();
            let Form::Dense(a) = packed.pack_a(a, precision).0 else {
                panic!("factors packed for different kernels")
            };
            portable::matmul(out, a, b.t(), accumulate);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Form::Panels(b) => {
            let grid = Grid::new(m, n);
            let out = Output {
                values: out.as_mut_ptr(),
                stride: n,
            };
            // SAFETY: `out` holds the product, and is borrowed for it alone.
            unsafe { fill_grid(out, &grid, a, b, accumulate, precision) };
        }
    }
}

/// # Safety
/// `out` holds the product of `a` and `b`, whose rows and columns are the grid's, and nobody else
/// uses it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
unsafe fn fill_grid<E: Source>(
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
            let part = Part {
                first_column: columns.start,
                columns: columns.len(),
                first_term,
            };
            let terms = TERMS.min(a.columns - first_term);
            let a = a.row_range(rows.start, rows.len());
            let a = a.t().row_range(first_term, terms).t();
            with_scratch(|[packed, _]| {
                let Form::Panels(a) = packed.pack_a(a, precision).0 else {
                    panic!("factors packed for different kernels")
                };
                // SAFETY: the task's rows and columns lie in `out`, and no other task has them.
                unsafe {
                    let out = out.starting_at(rows.start, columns.start);
                    multiply(out, a, b, part, accumulate || first_term > 0);
                };
            });
        }
    });
}

/// Terms of a sum that one thread handles at a time: the packed rows of a task fill half of the
/// second-level cache at most.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const TERMS: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<[Packed; 2]> = RefCell::default();
}

/// Memory for two packed factors that this thread uses again and again.
fn with_scratch<T>(f: impl FnOnce(&mut [Packed; 2]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => f(&mut scratch),
        // A task that runs while another one of the same thread waits.
        Err(_) => f(&mut Default::default()),
    })
}

/// How an output is cut into tasks. No sum is cut, so results do not depend on it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
struct Grid {
    m: usize,
    n: usize,
    block_rows: usize,
    block_columns: usize,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl Grid {
    /// Tasks that are enough to keep a few threads equally busy.
    const TASKS: usize = 4;
    /// A task's rows of `a` stay in the second-level cache.
    const MOST_ROWS: usize = 256;

    fn new(m: usize, n: usize) -> Self {
        let block_rows = m
            .div_ceil(Self::TASKS)
            .next_multiple_of(PANEL)
            .clamp(PANEL, Self::MOST_ROWS);
        let row_blocks = m.div_ceil(block_rows);
        // With few rows the columns are cut too; each such task packs its rows for itself.
        let column_blocks = (Self::TASKS / row_blocks).clamp(1, n.div_ceil(PANEL));
        Self {
            m,
            n,
            block_rows,
            block_columns: n.div_ceil(column_blocks).next_multiple_of(PANEL),
        }
    }

    fn column_blocks(&self) -> usize {
        self.n.div_ceil(self.block_columns)
    }

    fn tasks(&self) -> usize {
        self.m.div_ceil(self.block_rows) * self.column_blocks()
    }

    fn task(&self, task: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let row = task / self.column_blocks() * self.block_rows;
        let column = task % self.column_blocks() * self.block_columns;
        (
            row..(row + self.block_rows).min(self.m),
            column..(column + self.block_columns).min(self.n),
        )
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
struct Output {
    values: *mut f32,
    stride: usize,
}

// SAFETY: tasks write disjoint parts of the memory behind it.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
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

/// # Safety
/// `out` has the rows of `a` and the columns of `part`, and nobody else uses them; the part lies
/// in `b` and starts at whole tiles.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f")]
unsafe fn multiply(out: Output, a: &Panels, b: &Panels, part: Part, accumulate: bool) {
    assert_eq!(a.planes, b.planes, "precisions of the factors");
    let (m, n, planes, stride) = (a.width, part.columns, a.planes, out.stride);
    let (first_panel, first_step) = (part.first_column / PANEL, part.first_term / TILE_TERMS);
    let steps = a.steps();
    if steps == 0 {
        for row in 0..if accumulate { 0 } else { m } {
            // SAFETY: within the part of the output that the caller gave.
            unsafe { std::slice::from_raw_parts_mut(out.values.add(row * stride), n) }.fill(0.0);
        }
        return;
    }
    // SAFETY: factors are packed in panels only where the instructions are available.
    let tiles = unsafe { Tiles::configure() };
    let mut block = std::mem::MaybeUninit::<Block>::uninit();
    let block: *mut f32 = block.as_mut_ptr().cast();
    let panels = n.div_ceil(PANEL);
    let group = (GROUP_BYTES / (steps * planes * 2 * TILE_BYTES)).max(1);
    for first in (0..panels).step_by(group) {
        for i in 0..a.count() {
            // Blocks of the output side by side, one after another: its lines are written in the
            // order in which they lie there, as far as the group goes.
            for j in first..(first + group).min(panels) {
                let (row, column) = (i * PANEL, j * PANEL);
                let (rows, columns) = (PANEL.min(m - row), PANEL.min(n - column));
                // SAFETY: the panels have these steps; the block lies in the output where it is
                // whole, and is written to it from `block` where it is not.
                unsafe {
                    let pa = a.address(i, 0);
                    let pb = b.address(first_panel + j, first_step);
                    let c = out.values.add(row * stride + column);
                    if (rows, columns) == (PANEL, PANEL) {
                        prefetch_block(c.wrapping_add(PANEL), stride);
                        multiply_panels(&tiles, [planes, steps], pa, pb, (c, stride), accumulate);
                    } else {
                        multiply_panels(&tiles, [planes, steps], pa, pb, (block, PANEL), false);
                        write_block(c, stride, block, rows, columns, accumulate);
                    }
                }
            }
        }
    }
}

/// Asks for a block of 32x32 values to be written to; an address that is not ours is ignored.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
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

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const TILE_BYTES: usize = 1024;

/// Panels of `b` that every panel of `a` is multiplied with before the next ones: as many as the
/// second-level cache holds beside a task's rows of `a`.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const GROUP_BYTES: usize = 256 << 10;

/// A block that sticks out of the output.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[repr(C, align(64))]
struct Block([f32; PANEL * PANEL]);

/// # Safety
/// `out` has `rows` rows of `columns` values, `stride` values apart; `block` has 32 rows of 32.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn write_block(
    out: *mut f32,
    stride: usize,
    block: *const f32,
    rows: usize,
    columns: usize,
    accumulate: bool,
) {
    for row in 0..rows {
        // SAFETY: as the caller promises.
        let (out, sums) = unsafe {
            (
                std::slice::from_raw_parts_mut(out.add(row * stride), columns),
                std::slice::from_raw_parts(block.add(row * PANEL), columns),
            )
        };
        match (
            <&mut [f32; PANEL]>::try_from(&mut *out),
            <&[f32; PANEL]>::try_from(sums),
        ) {
            // Whole rows, so that these are loops over registers.
            (Ok(out), Ok(sums)) if accumulate => {
                out.iter_mut().zip(sums).for_each(|(out, x)| *out += x);
            }
            (Ok(out), Ok(sums)) => *out = *sums,
            _ if accumulate => out.iter_mut().zip(sums).for_each(|(out, x)| *out += x),
            _ => out.copy_from_slice(sums),
        }
    }
}
