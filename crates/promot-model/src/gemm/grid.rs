//! How the output of a product over all threads is cut into tasks.

use super::panels::PANEL;

/// How an output is cut into tasks. No sum is cut, so results do not depend on it.
pub(super) struct Grid {
    m: usize,
    n: usize,
    block_rows: usize,
    block_columns: usize,
}

impl Grid {
    /// Tasks that are enough to keep a few threads equally busy.
    const TASKS: usize = 4;
    /// A task's rows of `a` stay in the second-level cache.
    const MOST_ROWS: usize = 256;

    pub(super) fn new(m: usize, n: usize) -> Self {
        // Few rows and many columns, as in decoding: every task packs all rows for itself, and the
        // right factor, which is most of what is read, is read by one task only.
        let wide = m <= Self::MOST_ROWS && Self::TASKS * m <= n;
        let row_blocks = if wide { 1 } else { Self::TASKS };
        let block_rows = m
            .div_ceil(row_blocks)
            .next_multiple_of(PANEL)
            .clamp(PANEL, Self::MOST_ROWS);
        let row_blocks = m.div_ceil(block_rows);
        let column_blocks = (Self::TASKS / row_blocks).clamp(1, n.div_ceil(PANEL));
        Self {
            m,
            n,
            block_rows,
            block_columns: n.div_ceil(column_blocks).next_multiple_of(PANEL),
        }
    }

    /// Whether every task has all columns.
    pub(super) fn is_rows(&self) -> bool {
        self.column_blocks() == 1
    }

    fn column_blocks(&self) -> usize {
        self.n.div_ceil(self.block_columns)
    }

    pub(super) fn tasks(&self) -> usize {
        self.m.div_ceil(self.block_rows) * self.column_blocks()
    }

    pub(super) fn task(&self, task: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let row = task / self.column_blocks() * self.block_rows;
        let column = task % self.column_blocks() * self.block_columns;
        (
            row..(row + self.block_rows).min(self.m),
            column..(column + self.block_columns).min(self.n),
        )
    }
}
