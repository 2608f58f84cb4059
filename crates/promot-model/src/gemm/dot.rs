//! Sums of products of packed panels with AVX512-BF16: dot products of pairs of bf16, `f32` sums.
//!
//! `vdpbf16ps` adds to 16 sums the products of 16 pairs. A line of a tile of `b` is such a vector: a pair
//! of terms of 16 columns. Of `a`, one pair of one row meets all of them. The kernel below keeps
//! 8 rows and 32 columns of sums in registers, 16 of 32, so that every line it loads is used 8 times.

use std::arch::x86_64::*;

use super::multiply::{Multiply, Pair};
use super::panels::{TILE_LEN, TILE_ROWS, TILE_TERMS};

/// The instructions, where [`are_possible`](super::panels::are_possible) has returned true.
pub(super) struct DotProducts;

impl Multiply for DotProducts {
    fn in_place(&self, _rows: usize) -> bool {
        true
    }

    unsafe fn multiply(
        &self,
        planes: usize,
        pairs: &[Pair],
        c: (*mut f32, usize),
        rows: usize,
        accumulate: bool,
    ) {
        assert_eq!(planes, 1, "factors packed for different kernels");
        // SAFETY: as the caller promises.
        unsafe { multiply_panels(pairs, c, rows, accumulate) }
    }
}

/// Rows whose sums are in registers at a time: a whole part of a tile.
const ROWS: usize = 8;

/// `c (+)= a b` for the first `rows` rows of the panels of `a`, and those of `b` (32 columns).
///
/// # Safety
/// The processor has the instructions. Each of the panels holds `steps * 2` tiles; `c` has `rows` rows, at most
/// 32, of 32 values, `stride` values apart, that nobody else uses meanwhile.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_panels(
    pairs: &[Pair],
    (c, stride): (*mut f32, usize),
    rows: usize,
    accumulate: bool,
) {
    for first in (0..rows).step_by(ROWS) {
        // SAFETY: the rows lie in the panel and in `c` (the caller's promise).
        unsafe {
            let row = first / TILE_ROWS * TILE_LEN + first % TILE_ROWS * TILE_TERMS;
            let c = (c.add(first * stride), stride);
            match rows - first {
                1 => multiply_rows::<1>(pairs, row, c, accumulate),
                2 => multiply_rows::<2>(pairs, row, c, accumulate),
                3 => multiply_rows::<3>(pairs, row, c, accumulate),
                4 => multiply_rows::<4>(pairs, row, c, accumulate),
                5 => multiply_rows::<5>(pairs, row, c, accumulate),
                6 => multiply_rows::<6>(pairs, row, c, accumulate),
                7 => multiply_rows::<7>(pairs, row, c, accumulate),
                _ => multiply_rows::<ROWS>(pairs, row, c, accumulate),
            }
        }
    }
}

/// The same for `R` rows within a tile, the first of which starts `row` values behind a panel of `a`.
///
/// # Safety
/// As of [`multiply_panels`].
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_rows<const R: usize>(
    pairs: &[Pair],
    row: usize,
    (c, stride): (*mut f32, usize),
    accumulate: bool,
) {
    // SAFETY: both types are 512 bits without invalid values.
    let bf16 = |x: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(x) };
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY, of all: all addresses lie in the panels and in `c` (the caller's promise); tiles are aligned to
    // 64 bytes, and so are their lines.
    if accumulate {
        for (row, [left, right]) in sums.iter_mut().enumerate() {
            // SAFETY: see above.
            unsafe {
                *left = _mm512_loadu_ps(c.add(row * stride));
                *right = _mm512_loadu_ps(c.add(row * stride + 16));
            }
        }
    }
    for &Pair { a, b, steps } in pairs {
        for step in 0..steps {
            // SAFETY: see above.
            let (a, b) = unsafe { (a.add(row + step * 2 * TILE_LEN), b.add(step * 2 * TILE_LEN)) };
            for pair in 0..TILE_TERMS / 2 {
                // SAFETY: see above.
                let (left, right) = unsafe {
                    let line = b.add(pair * 32);
                    (
                        bf16(_mm512_load_si512(line.cast())),
                        bf16(_mm512_load_si512(line.add(TILE_LEN).cast())),
                    )
                };
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: see above.
                    let x = unsafe { *a.add(row * TILE_TERMS + 2 * pair).cast::<i32>() };
                    let x = bf16(_mm512_set1_epi32(x));
                    sums[0] = _mm512_dpbf16_ps(sums[0], x, left);
                    sums[1] = _mm512_dpbf16_ps(sums[1], x, right);
                }
            }
        }
    }
    for (row, [left, right]) in sums.into_iter().enumerate() {
        // SAFETY: see above.
        unsafe {
            _mm512_storeu_ps(c.add(row * stride), left);
            _mm512_storeu_ps(c.add(row * stride + 16), right);
        }
    }
}
