//! Memory of outputs that each task zeroes right before it writes there.
//!
//! Zeroing all of it beforehand would be one more way through memory, and on one thread.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An output in the making.
pub(super) struct Fresh {
    /// Has the capacity; the length is 0.
    values: Vec<f32>,
    len: usize,
    /// Values of the parts given out last that were zeroed.
    zeroed: AtomicUsize,
}

/// A part of an output that nobody has written to.
pub(super) struct Part<'a> {
    values: &'a mut [MaybeUninit<f32>],
    zeroed: &'a AtomicUsize,
}

impl Fresh {
    pub(super) fn new(len: usize) -> Self {
        Self {
            values: Vec::with_capacity(len),
            len,
            zeroed: AtomicUsize::new(0),
        }
    }

    /// Parts of these lengths, one after another.
    pub(super) fn parts(
        &mut self,
        lengths: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = Part<'_>> {
        *self.zeroed.get_mut() = 0;
        let zeroed = &self.zeroed;
        let mut rest = &mut self.values.spare_capacity_mut()[..self.len];
        lengths.map(move |length| {
            let (values, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            Part { values, zeroed }
        })
    }

    /// The output.
    ///
    /// # Panics
    /// If not all parts were zeroed.
    pub(super) fn finish(mut self) -> Vec<f32> {
        assert_eq!(*self.zeroed.get_mut(), self.len, "values of an output");
        // SAFETY: the parts are disjoint and each is zeroed at most once, so that as many values
        // as were counted are all of them; they are within the capacity.
        unsafe { self.values.set_len(self.len) };
        self.values
    }
}

impl<'a> Part<'a> {
    /// Its values, zeros now.
    pub(super) fn zeroed(self) -> &'a mut [f32] {
        self.values.fill(MaybeUninit::new(0.0));
        self.zeroed.fetch_add(self.values.len(), Ordering::Relaxed);
        // SAFETY: every value was written just above.
        unsafe { self.values.assume_init_mut() }
    }
}
