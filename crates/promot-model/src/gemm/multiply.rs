//! What the instructions of a processor have to do with packed panels.

/// A panel of `a` and one of `b`, both from one step on: some terms of the sums.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) a: *const u16,
    pub(super) b: *const u16,
    /// Times 32 terms; one at least.
    pub(super) steps: usize,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            a: std::ptr::null(),
            b: std::ptr::null(),
            steps: 0,
        }
    }
}

/// Instructions that multiply panels.
pub(super) trait Multiply {
    /// Whether no more than `rows` rows of 32 sums are read or written.
    fn in_place(&self, rows: usize) -> bool;

    /// `c (+)= a b`, summed up over all pairs of a panel of `a` and one of `b` (32 columns), in `planes` planes.
    /// Only the first `rows` rows of `c` matter.
    ///
    /// # Safety
    /// No pair has zero steps. Each of a pair's panels holds `steps * planes * 2` tiles; `c` has 32 rows, or `rows` if they are in place, of
    /// 32 values, `stride` values apart, that nobody else uses meanwhile.
    unsafe fn multiply(
        &self,
        planes: usize,
        pairs: &[Pair],
        c: (*mut f32, usize),
        rows: usize,
        accumulate: bool,
    );
}
