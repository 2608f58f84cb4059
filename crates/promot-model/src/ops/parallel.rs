//! Loops over rows, split in fixed blocks so that results never depend on the number of threads.

use rayon::prelude::*;

/// Rows in one block of work.
pub(super) const BLOCK_ROWS: usize = 64;

/// Defines functions that run compiled for AVX2 and FMA where the processor has them.
///
/// Without it, loops are compiled for the oldest x86-64 and run at a quarter of the speed. A macro
/// and no higher-order function, because a closure's body is compiled for wide vectors only if the
/// optimiser happens to inline it.
macro_rules! vectorized {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block
    )+) => {$(
        $(#[$attribute])*
        fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features that `wide` is compiled for.
                    return unsafe { wide($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    )+};
}
pub(super) use vectorized;

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
const BLOCK_VALUES: usize = 16 * 1024;

/// Calls `f(first, block_of_out)` for blocks of `out`.
pub(super) fn for_value_blocks(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    out.par_chunks_mut(BLOCK_VALUES)
        .enumerate()
        .for_each(|(block, out)| f(block * BLOCK_VALUES, out));
}

/// Calls `f(first, block_of_a, block_of_b)` for blocks of `a` and `b`, which are equally long.
pub(super) fn for_value_block_pairs(
    a: &mut [f32],
    b: &mut [f32],
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    a.par_chunks_mut(BLOCK_VALUES)
        .zip(b.par_chunks_mut(BLOCK_VALUES))
        .enumerate()
        .for_each(|(block, (a, b))| f(block * BLOCK_VALUES, a, b));
}
