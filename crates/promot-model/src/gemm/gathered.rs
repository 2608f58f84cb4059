//! Factors whose rows are computed block by block: gradients of weights are sums over the tokens of
//! `leftᵀ right`.

use std::mem::MaybeUninit;

use super::kept::Kept;
use super::matrix::Matrix;
use super::packed::{Factor, Packed};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::panels::{Panels, TermsPart};
use super::part::Side;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::product::add_packed_product;
use super::product::add_product;
use super::unfilled::unfilled;
use super::{Precision, packs_bf16};
use crate::slices::split;

/// A factor of `leftᵀ right`, `(rows, columns)`, as the kernels read it, or its rows in `E` where they read
/// them best.
pub(crate) struct Gathered<E> {
    side: Side,
    columns: usize,
    precision: Precision,
    layout: Layout<E>,
}

enum Layout<E> {
    Rows {
        values: Vec<MaybeUninit<E>>,
        count: usize,
    },
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Panels(Panels),
}

impl<E: Kept> Gathered<E> {
    /// No rows yet, of `columns` values each.
    pub(crate) fn new(side: Side, columns: usize, precision: Precision) -> Self {
        Self {
            side,
            columns,
            precision,
            layout: match packs_bf16(precision) {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                true => Layout::Panels(Panels::default()),
                _ => Layout::Rows {
                    values: Vec::new(),
                    count: 0,
                },
            },
        }
    }

    /// Blocks of so many rows each, one after another, in place of the rows there were.
    pub(crate) fn blocks(&mut self, rows: &[usize]) -> Vec<GatheredBlock<'_, E>> {
        let columns = self.columns;
        match &mut self.layout {
            Layout::Rows { values, count } => {
                *count = rows.iter().sum();
                if values.len() < *count * columns {
                    *values = unfilled(*count * columns);
                }
                split(values, rows.iter().map(|rows| rows * columns))
                    .map(|values| GatheredBlock(Block::Rows { values, columns }))
                    .collect()
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => {
                let side = self.side;
                panels
                    .by_terms(columns, rows, self.precision)
                    .into_iter()
                    .map(|part| GatheredBlock(Block::Terms { part, side }))
                    .collect()
            }
        }
    }

    /// The right factor of products, packed once for all.
    ///
    /// # Safety
    /// All values of all blocks were put there.
    pub(crate) unsafe fn right<'s>(&'s self, packed: &'s mut Packed) -> Factor<'s> {
        match &self.layout {
            Layout::Rows { values, count } => {
                // SAFETY: as the caller promises.
                let rows = unsafe { self.matrix(values, *count) };
                packed.par_pack_b(rows, self.precision)
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => Factor::of_panels(panels),
        }
    }

    /// # Safety
    /// All values of `rows` rows were put there.
    unsafe fn matrix<'s>(&self, values: &'s [MaybeUninit<E>], rows: usize) -> Matrix<'s, E> {
        // SAFETY: as the caller promises.
        let values = unsafe { values[..rows * self.columns].assume_init_ref() };
        Matrix::new(values, rows, self.columns)
    }
}

/// Some rows of a [`Gathered`] factor.
pub(crate) struct GatheredBlock<'a, E>(Block<'a, E>);

enum Block<'a, E> {
    Rows {
        values: &'a mut [MaybeUninit<E>],
        columns: usize,
    },
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Terms { part: TermsPart<'a>, side: Side },
}

impl<E: Kept> GatheredBlock<'_, E> {
    /// Puts some columns of some rows there, `(rows, columns)`, from a row and a column of the block on that are
    /// multiples of 32. What is not followed by other rows or columns may be as many as there are.
    pub(crate) fn put(&mut self, values: &[f32], columns: usize, [row, column]: [usize; 2]) {
        debug_assert!(
            row.is_multiple_of(32) && column.is_multiple_of(32),
            "whole tiles"
        );
        match &mut self.0 {
            Block::Rows {
                values: all,
                columns: width,
            } => {
                let rows = all.chunks_exact_mut(*width).skip(row);
                for (out, values) in rows.zip(values.chunks_exact(columns)) {
                    E::narrow_into(values, &mut out[column..][..columns]);
                }
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Block::Terms { part, side } => {
                let values = Matrix::new(values, values.len() / columns, columns);
                // SAFETY: panels are the layout only where the processor has what packs them.
                unsafe { part.fill(values.t(), *side, [column, row]) };
            }
        }
    }
}

/// `sum += leftᵀ right`, or `sum = leftᵀ right` in memory of its own if there is no sum yet.
///
/// # Panics
/// If `right` has not as many rows as `left`.
///
/// # Safety
/// All values of all blocks of `left` were put there.
pub(crate) unsafe fn add_gathered<E: Kept>(
    sum: &mut Option<Vec<f32>>,
    left: &Gathered<E>,
    right: Factor<'_>,
) {
    match &left.layout {
        Layout::Rows { values, count } => {
            // SAFETY: as the caller promises.
            let rows = unsafe { left.matrix(values, *count) };
            add_product(sum, rows.t(), right, left.precision);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Layout::Panels(panels) => add_packed_product(sum, panels, right),
    }
}
