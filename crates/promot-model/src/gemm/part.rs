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
    pub(super) fn all(b: Factor<'_>) -> Self {
        Self {
            first_column: 0,
            columns: b.width(),
            first_term: 0,
        }
    }
}
