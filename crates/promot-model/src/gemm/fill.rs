//! Packing: matrices in memory to the tiles of panels.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::matrix::Matrix;
use super::panels::{
    LINES_OF_TILE, Line, PANEL, PanelsPart, TILE_ROWS, TILE_TERMS, TermsPart, step_lines,
};
use super::side::Side;
use super::tile::{Source, Tile, lanes, round_pair, tile_of_pairs, tile_of_rows, transpose};

impl TermsPart<'_> {
    /// Packs all of `matrix`, whose rows are the panels' rows (or columns, for `b`) and whose columns are terms, from
    /// a row and a term on that are multiples of 32. Missing terms of a last tile are zeros.
    ///
    /// # Safety
    /// The processor has what [`are_possible`](super::panels::are_possible) asks for.
    pub(super) unsafe fn fill<E: Source>(
        &mut self,
        matrix: Matrix<'_, E>,
        side: Side,
        [row, term]: [usize; 2],
    ) {
        if matrix.columns == 0 {
            return;
        }
        let at = [row / PANEL, term / TILE_TERMS];
        if self.planes == 2 && !E::IS_BF16 {
            // SAFETY: as the caller promises.
            unsafe { fill_terms::<E, true>(self, matrix, side, at) }
        } else {
            // SAFETY: as the caller promises.
            unsafe { fill_terms::<E, false>(self, matrix, side, at) }
        }
    }
}

impl PanelsPart<'_> {
    /// Packs this part of `matrix`, all of it, whose rows are the panels' rows (or columns, for `b`) and whose
    /// columns are the terms.
    ///
    /// # Safety
    /// The processor has what [`are_possible`](super::panels::are_possible) asks for.
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill<E: Source, const LOW: bool>(
    mut part: PanelsPart<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
) {
    let panel_lines = part.steps * step_lines(part.planes);
    let panels = part.lines.len() / panel_lines.max(1);
    let by_row = matrix.column_stride == 1;
    debug_assert!(by_row || matrix.row_stride == 1);
    let row_of = |panel: usize| (part.first + panel) * PANEL;
    // Memory is read in the order in which it lies there: what is written fits in the cache.
    // SAFETY, of all three: the processor has the features (the caller's promise).
    if by_row && side == Side::Left {
        for row in 0..panels * PANEL {
            // SAFETY: see above.
            unsafe { fill_row::<E, LOW>(&mut part, matrix, row) };
        }
    } else if by_row {
        for panel in 0..panels {
            for step in 0..part.steps {
                let lines = tiles(&mut part.lines[panel * panel_lines..], part.planes, step);
                let at = (row_of(panel), step * TILE_TERMS);
                // SAFETY: see above.
                unsafe { fill_tiles::<E, LOW>(lines, matrix, side, at) };
            }
        }
    } else {
        for step in 0..part.steps {
            for panel in 0..panels {
                let lines = tiles(&mut part.lines[panel * panel_lines..], part.planes, step);
                let at = (row_of(panel), step * TILE_TERMS);
                // SAFETY: see above.
                unsafe { fill_tiles::<E, LOW>(lines, matrix, side, at) };
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_terms<E: Source, const LOW: bool>(
    part: &mut TermsPart<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
    [first_panel, first_step]: [usize; 2],
) {
    debug_assert!(matrix.column_stride == 1 || matrix.row_stride == 1);
    let panels = &mut part.panels[first_panel..][..matrix.rows.div_ceil(PANEL)];
    for (panel, lines) in panels.iter_mut().enumerate() {
        for step in 0..matrix.columns.div_ceil(TILE_TERMS) {
            let lines = tiles(lines, part.planes, first_step + step);
            // SAFETY: the processor has the features (the caller's promise).
            unsafe {
                fill_tiles::<E, LOW>(lines, matrix, side, (panel * PANEL, step * TILE_TERMS));
            }
        }
    }
}

/// A panel's tiles of 32 terms: those of the high halves, and those of the low ones if there are such.
fn tiles(panel: &mut [MaybeUninit<Line>], planes: usize, step: usize) -> Tiles<'_> {
    let lines = step_lines(planes);
    panel[step * lines..][..lines].split_at_mut(2 * LINES_OF_TILE)
}

type Tiles<'a> = (&'a mut [MaybeUninit<Line>], &'a mut [MaybeUninit<Line>]);

/// One row of `a`, whose terms stand next to each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_row<E: Source, const LOW: bool>(
    part: &mut PanelsPart<'_>,
    matrix: Matrix<'_, E>,
    row: usize,
) {
    let (step_lines, planes) = (step_lines(part.planes), part.planes);
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

/// Both tiles of 32 terms of a panel, from row `row` and column `term` of the matrix on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_tiles<E: Source, const LOW: bool>(
    (high, low): Tiles<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
    (row, term): (usize, usize),
) {
    let count = matrix.columns.saturating_sub(term).min(TILE_TERMS);
    for half in 0..2 {
        let row = row + half * TILE_ROWS;
        let rows = matrix.rows.saturating_sub(row).min(TILE_ROWS);
        let lines = half * LINES_OF_TILE..(half + 1) * LINES_OF_TILE;
        let low = low.get_mut(lines.clone()).unwrap_or_default();
        let (tiles, at) = ((&mut high[lines], low), (row, term));
        // SAFETY: as the caller promises.
        unsafe {
            if [rows, count] == [TILE_ROWS, TILE_TERMS] {
                fill_tile::<E, LOW, true>(tiles, matrix, side, at, [rows, count]);
            } else {
                fill_tile::<E, LOW, false>(tiles, matrix, side, at, [rows, count]);
            }
        }
    }
}

/// One tile: `rows` rows and `count` terms of it, all others are zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fill_tile<E: Source, const LOW: bool, const WHOLE: bool>(
    (high, low): Tiles<'_>,
    matrix: Matrix<'_, E>,
    side: Side,
    (row, term): (usize, usize),
    [rows, count]: [usize; 2],
) {
    let by_row = matrix.column_stride == 1;
    let zero = _mm512_setzero_si512();
    let (mut high_tile, mut low_tile) = ([zero; 16], [zero; 16]);
    let tiles = (&mut high_tile, &mut low_tile);
    let base = matrix.values.as_ptr();
    if rows > 0 && by_row {
        // SAFETY: `rows` rows and `count` terms from here on lie in the matrix.
        unsafe {
            let from = base.add(row * matrix.row_stride + term);
            tile_of_rows::<E, LOW, WHOLE>(tiles, from, matrix.row_stride, rows, count);
        }
    } else if rows > 0 {
        // SAFETY: as above.
        unsafe {
            let from = base.add(term * matrix.column_stride + row);
            tile_of_pairs::<E, LOW, WHOLE>(tiles, from, matrix.column_stride, rows, count);
        }
    }
    // Rows of terms are what `a` wants, pairs of terms by column what `b` wants.
    if by_row != (side == Side::Left) {
        transpose(&mut high_tile);
        if LOW {
            transpose(&mut low_tile);
        }
    }
    store(high, &high_tile);
    store(low, &low_tile);
}

/// Writes the lines there are: none of a plane that there is not.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(lines: &mut [MaybeUninit<Line>], tile: &Tile) {
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

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::Precision;
    use super::super::panels::{Panels, are_possible};
    use super::*;
    use crate::ops::testing::values;

    /// Blocks of the terms, columns of it by and by, give the panels of the whole: one plane and two, whether kernels
    /// of this processor read them or not.
    #[test]
    fn terms_by_blocks_are_packed_as_all_at_once() {
        fn check<E: Source>(width: usize, precision: Precision, side: Side) {
            let blocks = [64, 0, 32, 37];
            let terms = blocks.iter().sum();
            let all: Vec<E> = values(terms * width, 1)
                .into_iter()
                .map(E::from_f32)
                .collect();
            let matrix = Matrix::new(&all, terms, width).t();
            let (mut whole, mut by_terms) = (Panels::default(), Panels::default());
            whole.resize(width, terms, precision);
            for part in whole.parts(1) {
                // SAFETY: the caller asked whether panels are possible.
                unsafe { part.fill(matrix, side) };
            }
            let mut first = 0;
            for (mut part, rows) in by_terms
                .by_terms(width, &blocks, precision)
                .into_iter()
                .zip(blocks)
            {
                for column in (0..width).step_by(64) {
                    let count = (width - column).min(64);
                    let values = &all[first * width..][..rows * width];
                    let square: Vec<E> = (values.chunks(width))
                        .flat_map(|row| row[column..][..count].iter().copied())
                        .collect();
                    let square = Matrix::new(&square, rows, count).t();
                    // SAFETY: as above.
                    unsafe { part.fill(square, side, [column, 0]) };
                }
                first += rows;
            }
            assert_eq!(
                packed(&by_terms),
                packed(&whole),
                "{width} of {precision:?}, {side:?}"
            );
        }
        if !are_possible() {
            eprintln!("SKIPPED: this processor packs no panels");
            return;
        }
        for width in [1, 16, 33, 150] {
            for side in [Side::Left, Side::Right] {
                for precision in [Precision::F32, Precision::Bf16] {
                    check::<f32>(width, precision, side);
                    check::<bf16>(width, precision, side);
                }
            }
        }
    }

    /// All values of panels that were filled.
    fn packed(panels: &Panels) -> &[u16] {
        let len =
            panels.count() * panels.steps() * step_lines(panels.planes) * size_of::<Line>() / 2;
        // SAFETY: so many values there are, and all were written.
        unsafe { std::slice::from_raw_parts(panels.address(0, 0), len) }
    }
}
