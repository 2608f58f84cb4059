//! Memory that is filled once, and not with zeros first: one thread would do that while all others wait.

use std::mem::{ManuallyDrop, MaybeUninit};

/// Memory for `len` values that was not filled.
pub(crate) fn unfilled<E>(len: usize) -> Vec<MaybeUninit<E>> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: so many places there are, and what they hold may be anything.
    unsafe { values.set_len(len) };
    values
}

/// The values that were written to [`unfilled`] memory.
///
/// # Safety
/// Every place was.
pub(crate) unsafe fn filled<E: Copy>(values: Vec<MaybeUninit<E>>) -> Vec<E> {
    let mut values = ManuallyDrop::new(values);
    let (start, len, capacity) = (values.as_mut_ptr(), values.len(), values.capacity());
    // SAFETY: the memory is a vector's, whose elements have the same layout and are values (the caller's
    // promise).
    unsafe { Vec::from_raw_parts(start.cast(), len, capacity) }
}
