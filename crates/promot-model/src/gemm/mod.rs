//! Matrix products on the CPU: the one owner of how they are computed and split over threads.

use gemm::Parallelism;
use rayon::prelude::*;

/// A read-only matrix over a slice, with strides in elements.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A dense row-major matrix.
    ///
    /// # Panics
    /// If `values` is not `rows * columns` long.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "values of a {rows}x{columns} matrix"
        );
        Self::strided(values, rows, columns, columns)
    }

    /// A matrix whose rows start every `row_stride` elements: a head's columns, say.
    ///
    /// # Panics
    /// If the last element lies outside of `values`.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        if rows > 0 && columns > 0 {
            assert!(
                (rows - 1) * row_stride + columns <= values.len(),
                "matrix within its values"
            );
        }
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The transpose, without a copy.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Rows of the output that one task computes. Fixed, so that the split and with it every rounding
/// is the same on any number of threads.
const TASK_ROWS: usize = 128;

/// `out = a b`, or `out += a b` if `accumulate`; `out` is dense and row-major. Runs on rayon's
/// threads; the result does not depend on how many there are.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert_eq!(out.len(), a.rows * b.columns, "values of the product");
    if b.columns == 0 {
        return;
    }
    out.par_chunks_mut(TASK_ROWS * b.columns)
        .enumerate()
        .for_each(|(task, out)| {
            let first = task * TASK_ROWS;
            let rows = out.len() / b.columns;
            let a = Matrix {
                values: &a.values[(first * a.row_stride).min(a.values.len())..],
                rows,
                ..a
            };
            matmul_serial(out, b.columns, a, b, accumulate);
        });
}

/// The same on the calling thread, into rows of `out` that start every `out_stride` elements.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_serial(
    out: &mut [f32],
    out_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner dimensions");
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * out_stride + n <= out.len(),
        "product within its memory"
    );
    if k == 0 {
        if !accumulate {
            (0..m).for_each(|row| out[row * out_stride..][..n].fill(0.0));
        }
        return;
    }
    // SAFETY: the extents of `a` and `b` were checked when they were made (rows and columns only
    // shrink afterwards), that of `out` just above; `out` is borrowed mutably, so nothing overlaps.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if accumulate { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests;
