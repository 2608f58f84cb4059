//! Loops over rows, split in fixed blocks so that results never depend on the number of threads.

use std::cmp::Reverse;

use rayon::prelude::*;

use crate::gemm::{Precision, packs_bf16, vectorized};

/// Rows in one block of work.
pub(super) const BLOCK_ROWS: usize = 64;

/// Calls `f(first_row, rows_of_out)` for blocks of `out`, whose rows are `width` wide.
pub(super) fn for_row_blocks(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if width == 0 {
        return;
    }
    out.par_chunks_mut(BLOCK_ROWS * width)
        .enumerate()
        .for_each(|(block, out)| f(block * BLOCK_ROWS, out));
}

/// Sums over rows: `f(first_row, end_row, sum)` adds a block's share to `sum` (`width` zeros); the
/// shares are added to `total` in the order of the blocks.
pub(super) fn sum_row_blocks(
    total: &mut [f32],
    rows: usize,
    f: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let width = total.len();
    let shares: Vec<Vec<f32>> = (0..rows.div_ceil(BLOCK_ROWS))
        .into_par_iter()
        .map(|block| {
            let first = block * BLOCK_ROWS;
            let mut share = vec![0.0; width];
            f(first, (first + BLOCK_ROWS).min(rows), &mut share);
            share
        })
        .collect();
    for share in shares {
        total.iter_mut().zip(&share).for_each(|(t, s)| *t += s);
    }
}

/// Values a loop handles in one block where rows do not matter.
pub(crate) const BLOCK_VALUES: usize = 16 * 1024;

/// Calls `f(first, block_of_out)` for blocks of `out`.
pub(super) fn for_value_blocks(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    out.par_chunks_mut(BLOCK_VALUES)
        .enumerate()
        .for_each(|(block, out)| f(block * BLOCK_VALUES, out));
}

/// Rows that fused layers handle at a time: few enough for the second-level cache, and with few
/// rows in all still several blocks. A function of the number of rows alone.
pub(super) fn row_block(rows: usize) -> usize {
    rows.div_ceil(8).next_multiple_of(32).clamp(32, 256)
}

/// The same for products with weights where each row is by itself and nothing is kept by block: as many as
/// keep all threads busy, since every block reads all weights. Where factors are packed in bf16 no bit of a row
/// depends on the others in its block, so that these may depend on the number of threads.
pub(super) fn independent_row_block(rows: usize, precision: Precision) -> usize {
    if packs_bf16(precision) {
        let each = rows.div_ceil(rayon::current_num_threads());
        each.next_multiple_of(32).clamp(32, 256)
    } else {
        row_block(rows)
    }
}

/// Calls `f` for every task, the largest first, so that no thread is left with a large one at the end.
pub(super) fn largest_first<T: Send>(
    mut tasks: Vec<T>,
    size: impl Fn(&T) -> usize,
    f: impl Fn(T) + Send + Sync,
) {
    tasks.sort_by_key(|task| Reverse(size(task)));
    tasks.into_iter().par_bridge().for_each(f);
}

/// A vector that all threads fill: `f(first, places)` writes a block, all of it.
///
/// `f` gets memory that was not filled before: a pass over memory less than with zeros.
///
/// # Safety
/// `f` writes every place it is given.
pub(super) unsafe fn filled_by_blocks<E: Copy + Send>(
    len: usize,
    block: usize,
    f: impl Fn(usize, &mut [std::mem::MaybeUninit<E>]) + Sync,
) -> Vec<E> {
    let mut values = Vec::with_capacity(len);
    values.spare_capacity_mut()[..len]
        .par_chunks_mut(block.max(1))
        .enumerate()
        .for_each(|(i, places)| f(i * block, places));
    // SAFETY: the blocks are all of the first `len` places, and `f` wrote them (the caller's promise).
    unsafe { values.set_len(len) };
    values
}

/// A copy of `values` that threads change right after they made it, block by block: `f(first, block)` gets
/// the copy, and what it returns is collected.
pub(super) fn changed_copy<T: Send>(
    values: &[f32],
    block: usize,
    f: impl Fn(usize, &mut [f32]) -> T + Sync,
) -> (Vec<f32>, Vec<T>) {
    let (mut copy, block) = (Vec::with_capacity(values.len()), block.max(1));
    let results = copy.spare_capacity_mut()[..values.len()]
        .par_chunks_mut(block)
        .zip(values.par_chunks(block))
        .enumerate()
        .map(|(i, (places, values))| f(i * block, places.write_copy_of_slice(values)))
        .collect();
    // SAFETY: the blocks are all of the first places, and a copy was written to each.
    unsafe { copy.set_len(values.len()) };
    (copy, results)
}

/// The first `len` values of memory that is used again and again; their contents are whatever was
/// there before.
pub(super) fn sized(values: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if values.len() < len {
        values.resize(len, 0.0);
    }
    &mut values[..len]
}

/// Zeros, written by all threads.
pub(crate) fn par_zeros(len: usize) -> Vec<f32> {
    (0..len)
        .into_par_iter()
        .with_min_len(BLOCK_VALUES)
        .map(|_| 0.0)
        .collect()
}

vectorized! {
    /// `total += x` on the calling thread.
    pub(super) fn add_assign(total: &mut [f32], x: &[f32]) {
        for (total, x) in total.iter_mut().zip(x) {
            *total += x;
        }
    }
}
