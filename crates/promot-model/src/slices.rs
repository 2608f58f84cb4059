//! Slices cut into parts.

/// Parts of these lengths, one after another.
pub(crate) fn split<E>(
    mut values: &mut [E],
    lengths: impl Iterator<Item = usize>,
) -> impl Iterator<Item = &mut [E]> {
    lengths.map(move |length| {
        let (part, rest) = std::mem::take(&mut values).split_at_mut(length);
        values = rest;
        part
    })
}
