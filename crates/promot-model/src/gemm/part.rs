//! Parts of factors.

use super::packed::Factor;

/// A part of a right factor: some of its columns and as many of its rows as the left factor has
/// columns. Both start at a multiple of 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) first_column: usize,
    pub(crate) columns: usize,
    pub(crate) first_term: usize,
}

impl Part {
    /// All of a factor.
    pub(crate) fn all(b: Factor<'_>) -> Self {
        Self {
            first_column: 0,
            columns: b.width(),
            first_term: 0,
        }
    }
}

/// A part of a left factor: some of its rows and of its columns, which are the terms of sums. Both start at a
/// multiple of 32.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftPart {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) first_term: usize,
    pub(super) terms: usize,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl LeftPart {
    /// All of a factor.
    pub(super) fn all(a: Factor<'_>) -> Self {
        Self {
            first_row: 0,
            rows: a.width(),
            first_term: 0,
            terms: a.terms(),
        }
    }
}
