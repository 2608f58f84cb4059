//! Tiles: 16 rows of 32 terms, or 16 pairs of terms of 16 columns, rounded to bf16.

use std::arch::x86_64::*;

use half::bf16;

use super::matrix::Element;

/// 16 lines of 32 bf16.
pub(super) type Tile = [__m512i; 16];

/// A type that tiles can be made of.
///
/// # Safety
/// Implementations read only what `mask` allows, from `from` on.
pub unsafe trait Source: Element {
    /// 16 values as `f32`.
    ///
    /// # Safety
    /// The values whose bit is set in `mask` are readable, and the processor has AVX-512.
    unsafe fn load16(from: *const Self, mask: __mmask16) -> __m512;
    /// Whether the low halves are all zeros.
    const IS_BF16: bool;
}

// SAFETY: masked loads do not touch what is masked off.
unsafe impl Source for f32 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn load16(from: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }

    const IS_BF16: bool = false;
}

// SAFETY: masked loads do not touch what is masked off.
unsafe impl Source for bf16 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn load16(from: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: as the caller promises.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, from.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))
    }

    const IS_BF16: bool = true;
}

/// The first `count` of 16 lanes.
pub(super) fn lanes(count: usize) -> __mmask16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}

/// 32 numbers to bf16, and what that took away to bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) fn round_pair<const LOW: bool>(first: __m512, second: __m512) -> (__m512i, __m512i) {
    // SAFETY: both types are 512 bits without invalid values.
    let bits = |x: __m512bh| unsafe { std::mem::transmute::<__m512bh, __m512i>(x) };
    let high = bits(_mm512_cvtne2ps_pbh(second, first));
    if !LOW {
        return (high, _mm512_setzero_si512());
    }
    let widen =
        |half: __m256i| _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    let first = _mm512_sub_ps(first, widen(_mm512_castsi512_si256(high)));
    let second = _mm512_sub_ps(second, widen(_mm512_extracti64x4_epi64(high, 1)));
    (high, bits(_mm512_cvtne2ps_pbh(second, first)))
}

/// Line r: the terms of row r. With `WHOLE`, there are 16 rows of 32 terms, and the loop is unrolled.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn tile_of_rows<E: Source, const LOW: bool, const WHOLE: bool>(
    (high, low): (&mut Tile, &mut Tile),
    from: *const E,
    stride: usize,
    rows: usize,
    terms: usize,
) {
    let (rows, terms) = if WHOLE { (16, 32) } else { (rows, terms) };
    let masks = (lanes(terms), lanes(terms.saturating_sub(16)));
    for row in 0..rows {
        // SAFETY: the row's first `terms` values are readable (the caller's promise).
        let (first, second) = unsafe {
            let from = from.add(row * stride);
            (
                E::load16(from, masks.0),
                E::load16(from.wrapping_add(16), masks.1),
            )
        };
        let (rounded, rest) = round_pair::<LOW>(first, second);
        high[row] = rounded;
        if LOW {
            low[row] = rest;
        }
    }
}

/// Line p: terms 2p and 2p + 1 of each of 16 columns, side by side. With `WHOLE`, there are 16 columns and 32
/// terms, and the loop is unrolled.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn tile_of_pairs<E: Source, const LOW: bool, const WHOLE: bool>(
    (high, low): (&mut Tile, &mut Tile),
    from: *const E,
    stride: usize,
    columns: usize,
    terms: usize,
) {
    let (columns, terms) = if WHOLE { (16, 32) } else { (columns, terms) };
    let mask = lanes(columns);
    let zip = zip_halves();
    for pair in 0..terms.div_ceil(2) {
        // SAFETY: `columns` values of both terms are readable (the caller's promise); of a missing
        // second term nothing is read.
        let (first, second) = unsafe {
            let from = from.add(2 * pair * stride);
            let other = if 2 * pair + 1 < terms { mask } else { 0 };
            (
                E::load16(from, mask),
                E::load16(from.wrapping_add(stride), other),
            )
        };
        let (rounded, rest) = round_pair::<LOW>(first, second);
        high[pair] = _mm512_permutexvar_epi16(zip, rounded);
        if LOW {
            low[pair] = _mm512_permutexvar_epi16(zip, rest);
        }
    }
}

/// Where each 16-bit value comes from when two halves of a register are zipped.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn zip_halves() -> __m512i {
    const INDICES: [u16; 32] = {
        let mut indices = [0; 32];
        let mut i = 0;
        while i < 16 {
            indices[2 * i] = i as u16;
            indices[2 * i + 1] = i as u16 + 16;
            i += 1;
        }
        indices
    };
    // SAFETY: 64 readable bytes.
    unsafe { _mm512_loadu_si512(INDICES.as_ptr().cast()) }
}

/// Transposes 16x16 values of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(t: &mut Tile) {
    let mut u = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        u[2 * i] = _mm512_unpacklo_epi32(t[2 * i], t[2 * i + 1]);
        u[2 * i + 1] = _mm512_unpackhi_epi32(t[2 * i], t[2 * i + 1]);
    }
    for i in 0..4 {
        t[4 * i] = _mm512_unpacklo_epi64(u[4 * i], u[4 * i + 2]);
        t[4 * i + 1] = _mm512_unpackhi_epi64(u[4 * i], u[4 * i + 2]);
        t[4 * i + 2] = _mm512_unpacklo_epi64(u[4 * i + 1], u[4 * i + 3]);
        t[4 * i + 3] = _mm512_unpackhi_epi64(u[4 * i + 1], u[4 * i + 3]);
    }
    // Lane l of t[4 i + j] now holds column 4 l + j of rows 4 i..4 i + 4.
    for j in 0..4 {
        let a = _mm512_shuffle_i32x4::<0b1000_1000>(t[j], t[4 + j]);
        let b = _mm512_shuffle_i32x4::<0b1101_1101>(t[j], t[4 + j]);
        let c = _mm512_shuffle_i32x4::<0b1000_1000>(t[8 + j], t[12 + j]);
        let d = _mm512_shuffle_i32x4::<0b1101_1101>(t[8 + j], t[12 + j]);
        u[j] = _mm512_shuffle_i32x4::<0b1000_1000>(a, c);
        u[4 + j] = _mm512_shuffle_i32x4::<0b1000_1000>(b, d);
        u[8 + j] = _mm512_shuffle_i32x4::<0b1101_1101>(a, c);
        u[12 + j] = _mm512_shuffle_i32x4::<0b1101_1101>(b, d);
    }
    *t = u;
}
