//! What the instructions of a processor have to do with packed panels.

/// Instructions that multiply panels.
pub(super) trait Multiply {
    /// Whether `rows` rows of 32 sums are written, or added, to where they belong and nothing else is.
    fn in_place(&self, rows: usize, accumulate: bool) -> bool;

    /// `c (+)= a b` for one panel of `a`, one of `b` (32 columns), `planes` planes and `steps` times 32
    /// terms: `[planes, steps]`. Only the first `rows` rows of `c` matter; nothing is added to where
    /// [`Self::in_place`] says no.
    ///
    /// # Safety
    /// Each of the panels holds `steps * planes * 2` tiles; `c` has 32 rows, or `rows` if they are in place, of
    /// 32 values, `stride` values apart, that nobody else uses meanwhile.
    unsafe fn multiply(
        &self,
        size: [usize; 2],
        a: *const u16,
        b: *const u16,
        c: (*mut f32, usize),
        rows: usize,
        accumulate: bool,
    );
}
