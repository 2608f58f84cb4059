//! Factors whose rows are computed block by block: gradients of weights are sums over the tokens of
//! `leftᵀ right`.

use std::mem::MaybeUninit;

use super::kept::Kept;
use super::matrix::Matrix;
use super::packed::{Factor, Packed};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::panels::{Panels, TermsPart};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::product::add_packed_product;
use super::product::add_product;
use super::side::Side;
use super::unfilled::unfilled;
use super::{Precision, packs_bf16};
use crate::slices::split;

/// A factor of `leftᵀ right`, `(rows, columns)`, as the kernels read it, or its rows in `E` where they read
/// them best.
pub(crate) struct Gathered<E> {
    side: Side,
    columns: usize,
    precision: Precision,
    /// Rows of each block.
    blocks: Vec<usize>,
    layout: Layout<E>,
}

enum Layout<E> {
    Rows(Vec<MaybeUninit<E>>),
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
            blocks: Vec::new(),
            layout: match packs_bf16(precision) {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                true => Layout::Panels(Panels::default()),
                _ => Layout::Rows(Vec::new()),
            },
        }
    }

    /// Blocks of so many rows each, one after another, in place of the rows there were.
    pub(crate) fn blocks(&mut self, rows: &[usize]) -> Vec<GatheredBlock<'_, E>> {
        let columns = self.columns;
        rows.clone_into(&mut self.blocks);
        match &mut self.layout {
            Layout::Rows(values) => {
                let len = rows.iter().sum::<usize>() * columns;
                if values.len() < len {
                    *values = unfilled(len);
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
    pub(crate) unsafe fn right<'s>(&'s self, packed: &'s mut Packed) -> GatheredRight<'s> {
        assert_eq!(self.side, Side::Right, "which factor was gathered");
        let factor = match &self.layout {
            Layout::Rows(values) => {
                // SAFETY: as the caller promises.
                let rows = unsafe { self.matrix(values) };
                packed.par_pack_b(rows, self.precision)
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Layout::Panels(panels) => Factor::of_panels(panels),
        };
        GatheredRight {
            factor,
            blocks: &self.blocks,
        }
    }

    /// # Safety
    /// All values of all blocks were put there.
    unsafe fn matrix<'s>(&self, values: &'s [MaybeUninit<E>]) -> Matrix<'s, E> {
        let rows = self.blocks.iter().sum();
        // SAFETY: as the caller promises.
        let values = unsafe { values[..rows * self.columns].assume_init_ref() };
        Matrix::new(values, rows, self.columns)
    }
}

/// A right factor that was gathered.
#[derive(Clone, Copy)]
pub(crate) struct GatheredRight<'a> {
    factor: Factor<'a>,
    blocks: &'a [usize],
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
    ///
    /// # Panics
    /// If they do not lie in the block, or start elsewhere.
    pub(crate) fn put(&mut self, values: &[f32], columns: usize, [row, column]: [usize; 2]) {
        assert!(
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
/// If `right` was gathered in other blocks than `left`.
///
/// # Safety
/// All values of all blocks of `left` were put there.
pub(crate) unsafe fn add_gathered<E: Kept>(
    sum: &mut Option<Vec<f32>>,
    left: &Gathered<E>,
    right: GatheredRight<'_>,
) {
    assert_eq!(left.side, Side::Left, "which factor was gathered");
    assert_eq!(left.blocks, right.blocks, "rows by blocks");
    match &left.layout {
        Layout::Rows(values) => {
            // SAFETY: as the caller promises.
            let rows = unsafe { left.matrix(values) };
            add_product(sum, rows.t(), right.factor, left.precision);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Layout::Panels(panels) => add_packed_product(sum, panels, right.factor),
    }
}
