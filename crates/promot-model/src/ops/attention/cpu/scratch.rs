//! Memory of one thread that lies between inputs and outputs: it is reused, never given back and
//! never cleared, since touching fresh memory costs more than most loops over it.

use std::cell::Cell;

use super::wide::LANES;
use crate::gemm::Packed;
use crate::ops::dropout::Mask;

/// Scores of one strip: with their gradients and packed forms they stay in the second-level cache.
const STRIP_SCORES: usize = 36 * 1024;
/// Rows of whole matrix tiles.
const TILE_ROWS: usize = 32;

/// What a head's passes write and read again. The contents are whatever was there before.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) packed: [Packed; 6],
    pub(super) scores: Vec<f32>,
    pub(super) gradients: Vec<f32>,
    pub(super) by_distance: Vec<f32>,
    /// One number for each query.
    pub(super) of_query: [Vec<f32>; 3],
    pub(super) masks: Vec<Mask>,
}

impl Scratch {
    /// Calls `f` with this thread's memory.
    pub(super) fn with<T>(f: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
        }
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let result = f(&mut scratch);
        SCRATCH.set(Some(scratch));
        result
    }
}

/// `length` values with unspecified contents, from the start of a cache line on: vectors and matrix
/// tiles that straddle lines take twice as long.
pub(super) fn grown(values: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if values.len() < length + LANES {
        values.resize(length + LANES, 0.0);
    }
    let first = values.as_ptr().align_offset(64).min(LANES);
    &mut values[first..][..length]
}

/// How many of `rows` rows of scores, `stride` values each, make one strip. A function of the shape
/// alone, so that results are.
pub(super) fn strip_rows(rows: usize, stride: usize) -> usize {
    let most = (STRIP_SCORES / stride).max(TILE_ROWS);
    let strips = rows.div_ceil(most);
    rows.div_ceil(strips).next_multiple_of(TILE_ROWS)
}
