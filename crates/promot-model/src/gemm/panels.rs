//! Matrices as the kernels for bf16 read them: panels of 32 rows (of `a`) or columns (of `b`), cut into
//! tiles, in bf16.
//!
//! A panel holds, for every 32 terms of the sum, two tiles of each plane: for `a` 16 rows of 32
//! terms, for `b` 16 pairs of terms of 16 columns. One plane is the numbers rounded to bf16; a
//! second one holds what rounding took away, again rounded. Missing rows and terms are zeros.

use std::mem::MaybeUninit;

use super::Precision;
use super::unfilled::unfilled;
use crate::slices::split;

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
pub(super) struct Line([u16; 32]);

pub(super) const LINES_OF_TILE: usize = TILE_LEN / 32;

/// A packed factor.
#[derive(Default)]
pub(super) struct Panels {
    /// Those of the panels are written by [`PanelsPart::fill`] or [`TermsPart::fill`]: memory is not filled with zeros first.
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
        self.steps() * step_lines(self.planes)
    }

    /// The first value of panel `panel`, `step` times 32 terms on.
    pub(super) fn address(&self, panel: usize, step: usize) -> *const u16 {
        let first = panel * self.panel_lines() + step * step_lines(self.planes);
        self.lines[first..].as_ptr().cast()
    }

    /// Makes room for a factor; the contents are whatever was there before.
    pub(super) fn resize(&mut self, width: usize, terms: usize, precision: Precision) {
        self.width = width;
        self.terms = terms;
        self.planes = match precision {
            Precision::F32 => 2,
            Precision::Bf16 => 1,
        };
        let lines = self.panel_lines() * self.count();
        if self.lines.len() < lines {
            self.lines = unfilled(lines);
        }
    }

    /// Makes room for a factor whose terms are those of several blocks, one block after another, each with zeros
    /// up to a multiple of 32 terms. Their parts are to be filled by [`TermsPart::fill`].
    pub(super) fn by_terms(
        &mut self,
        width: usize,
        terms: &[usize],
        precision: Precision,
    ) -> Vec<TermsPart<'_>> {
        let whole = |terms: &usize| terms.next_multiple_of(TILE_TERMS);
        self.resize(width, terms.iter().map(whole).sum(), precision);
        let (planes, panel_lines, count) = (self.planes, self.panel_lines(), self.count());
        let part = |_| TermsPart {
            panels: Vec::with_capacity(count),
            planes,
        };
        let mut parts: Vec<_> = terms.iter().map(part).collect();
        for panel in self.lines[..panel_lines * count].chunks_mut(panel_lines.max(1)) {
            let lines = terms
                .iter()
                .map(|terms| terms.div_ceil(TILE_TERMS) * step_lines(planes));
            for (part, lines) in parts.iter_mut().zip(split(panel, lines)) {
                part.panels.push(lines);
            }
        }
        parts
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

/// Lines of one panel's tiles for 32 terms.
pub(super) fn step_lines(planes: usize) -> usize {
    2 * planes * LINES_OF_TILE
}

/// Some terms of all panels of a packed factor.
pub(super) struct TermsPart<'a> {
    pub(super) panels: Vec<&'a mut [MaybeUninit<Line>]>,
    pub(super) planes: usize,
}

/// Some panels of a packed factor.
pub(super) struct PanelsPart<'a> {
    pub(super) lines: &'a mut [MaybeUninit<Line>],
    pub(super) first: usize,
    pub(super) steps: usize,
    pub(super) planes: usize,
}
