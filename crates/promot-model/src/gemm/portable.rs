//! Products by the `gemm` crate, in `f32` arithmetic: the one path that runs on every processor.

use gemm::Parallelism;
use rayon::prelude::*;

use super::matrix::Matrix;

/// How a product is cut into tasks. A function of the sizes alone, so that the split and with it
/// every rounding is the same on any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Split {
    /// Rows of the output in one task.
    rows: usize,
    /// Columns of the output in one task.
    columns: usize,
    /// Terms of the sums in one task; shares are added up in order.
    terms: usize,
}

impl Split {
    /// Tasks that are enough to keep a few threads equally busy.
    const TASKS: usize = 8;

    fn new(m: usize, k: usize, n: usize) -> Self {
        // Multiples of the micro-kernel's rows; few large tasks, since each packs `b` for itself.
        let rows = (m.div_ceil(Self::TASKS)).clamp(96, 384).next_multiple_of(6);
        let row_tasks = m.div_ceil(rows);
        let mut split = Self {
            rows,
            columns: n,
            terms: k,
        };
        if row_tasks < Self::TASKS / 2 {
            if n >= 1024 {
                // Few rows and a large vocabulary, say: a decoding step's logits.
                split.columns = (n * row_tasks)
                    .div_ceil(Self::TASKS)
                    .clamp(512, 4096)
                    .next_multiple_of(64);
            } else if k >= 1024 && m * n <= 1 << 17 {
                // Gradients of small weights: long sums over all tokens.
                split.terms = (k * row_tasks)
                    .div_ceil(Self::TASKS)
                    .clamp(256, 4096)
                    .next_multiple_of(64);
            }
        }
        split
    }
}

/// `out = a b`, or `out += a b` if `accumulate`; `out` is dense and row-major. Runs on rayon's
/// threads; the result does not depend on how many there are.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn matmul(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(out.len(), m * n, "values of the product");
    assert_eq!(k, b.rows, "inner dimensions");
    if m == 0 || n == 0 {
        return;
    }
    let split = Split::new(m, k, n);
    if split.terms < k {
        return matmul_by_terms(out, a, b, accumulate, split.terms);
    }
    if split.columns < n {
        return matmul_by_columns(out, a, b, accumulate, split);
    }
    out.par_chunks_mut(split.rows * n)
        .enumerate()
        .for_each(|(task, out)| {
            let a = a.row_range(task * split.rows, out.len() / n);
            matmul_serial(out, n, a, b, accumulate);
        });
}

/// A product whose sums are cut: each task has a share of every element.
fn matmul_by_terms(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool, terms: usize) {
    let (k, n) = (a.columns, b.columns);
    let shares: Vec<Vec<f32>> = (0..k.div_ceil(terms))
        .into_par_iter()
        .map(|task| {
            let (first, count) = (task * terms, terms.min(k - task * terms));
            let mut share = vec![0.0; out.len()];
            let (a, b) = (a.t().row_range(first, count).t(), b.row_range(first, count));
            matmul_serial(&mut share, n, a, b, false);
            share
        })
        .collect();
    if !accumulate {
        out.fill(0.0);
    }
    for share in &shares {
        out.iter_mut().zip(share).for_each(|(out, x)| *out += x);
    }
}

/// A product whose rows are cut as well as its columns.
fn matmul_by_columns(
    out: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
    split: Split,
) {
    let n = b.columns;
    for (task, out) in out.chunks_mut(split.rows * n).enumerate() {
        let rows = out.len() / n;
        let a = a.row_range(task * split.rows, rows);
        // Each task computes into memory of its own: columns of rows are not one slice.
        let parts: Vec<Vec<f32>> = (0..n.div_ceil(split.columns))
            .into_par_iter()
            .map(|task| {
                let first = task * split.columns;
                let columns = split.columns.min(n - first);
                let mut part = vec![0.0; rows * columns];
                let b = b.t().row_range(first, columns).t();
                matmul_serial(&mut part, columns, a, b, false);
                part
            })
            .collect();
        out.par_chunks_mut(n).enumerate().for_each(|(row, out)| {
            let mut rest = out;
            for part in &parts {
                let columns = part.len() / rows;
                let (out, after) = rest.split_at_mut(columns);
                let part = &part[row * columns..][..columns];
                if accumulate {
                    out.iter_mut().zip(part).for_each(|(out, x)| *out += x);
                } else {
                    out.copy_from_slice(part);
                }
                rest = after;
            }
        });
    }
}

/// The same on the calling thread, into rows of `out` that start every `out_stride` elements.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn matmul_serial(
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
mod tests {
    use super::Split;

    #[test]
    fn large_products_become_several_tasks() {
        let tasks = |(m, k, n): (usize, usize, usize)| {
            let split = Split::new(m, k, n);
            m.div_ceil(split.rows) * n.div_ceil(split.columns) * k.div_ceil(split.terms)
        };
        // A layer, its weight's gradient, a decoding step's logits, a large head's gradient.
        for sizes in [
            (2560, 128, 256),
            (128, 2560, 128),
            (16, 512, 250_000),
            (250_000, 400, 512),
        ] {
            assert!(tasks(sizes) >= 4, "{sizes:?} in {} tasks", tasks(sizes));
        }
        assert_eq!(tasks((20, 30, 40)), 1);
    }
}
