//! Matrices as the kernels for bf16 read them: panels of 32 rows (of `a`) or columns (of `b`), cut into
//! tiles, in bf16.
//!
//! A panel holds, for every 32 terms of the sum, two tiles of each plane: for `a` 16 rows of 32
//! terms, for `b` 16 pairs of terms of 16 columns. One plane is the numbers rounded to bf16; a
//! second one holds what rounding took away, again rounded. Missing rows and terms are zeros.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use half::bf16;

use super::matrix::{Element, Matrix};
use super::unfilled::unfilled;

/// Rows of `a` and columns of `b` in one panel: two tiles.
pub(super) const PANEL: usize = 32;
/// Rows of `a` and columns of `b` in one tile.
pub(super) const TILE_ROWS: usize = 16;
/// Terms of the sums in one tile.
pub(super) const TILE_TERMS: usize = 32;
/// bf16 values in one tile.
pub(super) const TILE_LEN: usize = TILE_ROWS * TILE_TERMS;

/// Whether the processor has the instructions that pack panels, and multiply what is in them.
pub(super) fn are_possible() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bf16")
}

/// 64 bytes where a cache line starts.
#[repr(C, align(64))]
struct Line([u16; 32]);

const LINES_OF_TILE: usize = TILE_LEN / 32;

/// Which factor a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The left factor: panels of its rows.
    A,
    /// The right factor: panels of its columns.
    B,
}

/// A packed factor.
#[derive(Default)]
pub(super) struct Panels {
    /// Those of the panels are written by [`PanelsPart::fill`]: memory is not filled with zeros first.
    lines: Vec<MaybeUninit<Line>>,
    /// Rows of `a`, columns of `b`.
    pub(super) width: usize,
    pub(super) terms: usize,
    pub(super) planes: usize,
}

impl Panels {
    pub(super) fn steps(&self) -> usize {
        self.terms.div_ceil(TILE_TERMS)
    }

    /// Panels there are.
    pub(super) fn count(&self) -> usize {
        self.width.div_ceil(PANEL)
    }

    fn panel_lines(&self) -> usize {
        2 * self.planes * LINES_OF_TILE * self.steps()
    }

    /// The first value of panel `panel`, `step` times 32 terms on.
    pub(super) fn address(&self, panel: usize, step: usize) -> *const u16 {
        let first = panel * self.panel_lines() + step * 2 * self.planes * LINES_OF_TILE;
        self.lines[first..].as_ptr().cast()
    }

    /// Makes room for a factor; the contents are whatever was there before.
    pub(super) fn resize(&mut self, width: usize, terms: usize, planes: usize) {
        self.width = width;
        self.terms = terms;
        self.planes = planes;
        let lines = self.panel_lines() * self.count();
        if self.lines.len() < lines {
            self.lines = unfilled(lines);
        }
    }

    /// Parts of `panels` panels each, to be filled by [`PanelsPart::fill`].
    pub(super) fn parts(&mut self, panels: usize) -> Vec<PanelsPart<'_>> {
        let (steps, planes) = (self.steps(), self.planes);
        let (panel_lines, count) = (self.panel_lines(), self.count());
        if panel_lines == 0 {
            return Vec::new();
        }
        self.lines[..panel_lines * count]
            .chunks_mut(panel_lines * panels)
            .enumerate()
            .map(|(part, lines)| PanelsPart {
                lines,
                first: part * panels,
                steps,
                planes,
            })
            .collect()
    }
}

/// Some panels of a packed factor.
pub(super) struct PanelsPart<'a> {
    lines: &'a mut [MaybeUninit<Line>],
    first: usize,
    steps: usize,
    planes: usize,
}

impl PanelsPart<'_> {
    /// Lines of one panel's tiles for 32 terms.
    fn step_lines(&self) -> usize {
        2 * self.planes * LINES_OF_TILE
    }

    /// Packs this part of `matrix`, all of it, whose rows are the panels' rows (or columns, for `b`) and whose
    /// columns are the terms.
    ///
    /// # Safety
    /// The processor has what [`are_possible`] asks for.
    pub(super) unsafe fn fill<E: Source>(self, matrix: Matrix<'_, E>, side: Side) {
        // The low halves of bf16 are zeros: no work, and zeros are stored if there is a plane.
        if self.planes == 2 && !E::IS_BF16 {
            // SAFETY: as the caller promises.
            unsafe { fill::<E, true>(self, matrix, side) }
        } else {
            // SAFETY: as the caller promises.
            unsafe { fill::<E, false>(self, matrix, side) }
        }
    }
}

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
fn lanes(count: usize) -> __mmask16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill<E: Source, const LOW: bool>(
    mut part: PanelsPart<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
) {
    let panels = part.lines.len() / (part.steps * part.step_lines()).max(1);
    let by_row = matrix.column_stride == 1;
    debug_assert!(by_row || matrix.row_stride == 1);
    // Memory is read in the order in which it lies there: what is written fits in the cache.
    // SAFETY, of all three: the processor has the features (the caller's promise).
    if by_row && side == Side::A {
        for row in 0..panels * PANEL {
            // SAFETY: see above.
            unsafe { fill_row::<E, LOW>(&mut part, matrix, row) };
        }
    } else if by_row {
        for panel in 0..panels {
            for step in 0..part.steps {
                // SAFETY: see above.
                unsafe { fill_tiles::<E, LOW>(&mut part, matrix, side, panel, step) };
            }
        }
    } else {
        for step in 0..part.steps {
            for panel in 0..panels {
                // SAFETY: see above.
                unsafe { fill_tiles::<E, LOW>(&mut part, matrix, side, panel, step) };
            }
        }
    }
}

/// One row of `a`, whose terms stand next to each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_row<E: Source, const LOW: bool>(
    part: &mut PanelsPart<'_>,
    matrix: Matrix<'_, E>,
    row: usize,
) {
    let (step_lines, planes) = (part.step_lines(), part.planes);
    let from_row = part.first * PANEL + row;
    let terms = if from_row < matrix.rows {
        matrix.columns
    } else {
        0
    };
    let panel = row / PANEL * part.steps * step_lines + row % PANEL;
    for step in 0..part.steps {
        let term = step * TILE_TERMS;
        let count = terms.saturating_sub(term);
        let at = panel + step * step_lines;
        let (mut high, mut low) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        if count > 0 {
            // SAFETY: the row's terms from `term` on are `count` values of the matrix.
            let (first, second) = unsafe {
                let from = matrix
                    .values
                    .as_ptr()
                    .add(from_row * matrix.row_stride + term);
                (
                    E::load16(from, lanes(count)),
                    E::load16(from.wrapping_add(16), lanes(count.saturating_sub(16))),
                )
            };
            (high, low) = round_pair::<LOW>(first, second);
        }
        store_line(&mut part.lines[at], high);
        if planes == 2 {
            store_line(&mut part.lines[at + 2 * LINES_OF_TILE], low);
        }
    }
}

/// Both tiles of 32 terms of a panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_tiles<E: Source, const LOW: bool>(
    part: &mut PanelsPart<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
    panel: usize,
    step: usize,
) {
    let by_row = matrix.column_stride == 1;
    let step_lines = part.step_lines();
    let at = (panel * part.steps + step) * step_lines;
    let (high, low) = part.lines[at..][..step_lines].split_at_mut(2 * LINES_OF_TILE);
    let term = step * TILE_TERMS;
    let count = matrix.columns.saturating_sub(term).min(TILE_TERMS);
    for half in 0..2 {
        let row = (part.first + panel) * PANEL + half * 16;
        let rows = matrix.rows.saturating_sub(row).min(16);
        let zero = _mm512_setzero_si512();
        let (mut high_tile, mut low_tile) = ([zero; 16], [zero; 16]);
        let tiles = (&mut high_tile, &mut low_tile);
        let base = matrix.values.as_ptr();
        if rows > 0 && by_row {
            // SAFETY: `rows` rows and `count` terms from here on lie in the matrix.
            unsafe {
                let from = base.add(row * matrix.row_stride + term);
                tile_of_rows::<E, LOW>(tiles, from, matrix.row_stride, rows, count);
            }
        } else if rows > 0 {
            // SAFETY: as above.
            unsafe {
                let from = base.add(term * matrix.column_stride + row);
                tile_of_pairs::<E, LOW>(tiles, from, matrix.column_stride, rows, count);
            }
        }
        // Rows of terms are what `a` wants, pairs of terms by column what `b` wants.
        if by_row != (side == Side::A) {
            transpose(&mut high_tile);
            if LOW {
                transpose(&mut low_tile);
            }
        }
        let at = half * LINES_OF_TILE;
        store(&mut high[at..][..LINES_OF_TILE], &high_tile);
        if part.planes == 2 {
            store(&mut low[at..][..LINES_OF_TILE], &low_tile);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(lines: &mut [MaybeUninit<Line>], tile: &[__m512i; 16]) {
    for (line, values) in lines.iter_mut().zip(tile) {
        store_line(line, *values);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_line(line: &mut MaybeUninit<Line>, values: __m512i) {
    // SAFETY: a line is 64 bytes and aligned to them.
    unsafe { _mm512_store_si512(line.as_mut_ptr().cast(), values) };
}

/// 32 numbers to bf16, and what that took away to bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn round_pair<const LOW: bool>(first: __m512, second: __m512) -> (__m512i, __m512i) {
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

/// Line r: the terms of row r.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn tile_of_rows<E: Source, const LOW: bool>(
    (high, low): (&mut [__m512i; 16], &mut [__m512i; 16]),
    from: *const E,
    stride: usize,
    rows: usize,
    terms: usize,
) {
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

/// Line p: terms 2p and 2p + 1 of each of 16 columns, side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn tile_of_pairs<E: Source, const LOW: bool>(
    (high, low): (&mut [__m512i; 16], &mut [__m512i; 16]),
    from: *const E,
    stride: usize,
    columns: usize,
    terms: usize,
) {
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
fn transpose(t: &mut [__m512i; 16]) {
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
