//! The copy on the CPU, a row a task.

use std::mem::MaybeUninit;

use super::{Kernels, Sizes};
use crate::backend::Host;
use crate::ops::parallel::filled_by_blocks;

impl Kernels for Host {
    fn extend_cache(
        &self,
        cache: Option<&[f32]>,
        new: &[f32],
        sources: &[usize],
        Sizes { steps, width }: Sizes,
    ) -> Vec<f32> {
        let cached = steps * width;
        let row_len = cached + width;
        let fill = |first: usize, out: &mut [MaybeUninit<f32>]| {
            let row = first / row_len.max(1);
            let (old, last) = out.split_at_mut(cached);
            if let Some(cache) = cache {
                old.write_copy_of_slice(&cache[sources[row] * cached..][..cached]);
            }
            last.write_copy_of_slice(&new[row * width..][..width]);
        };
        assert!(cache.is_some() || steps == 0, "a cache of earlier steps");
        // SAFETY: a block is a row: its first `cached` places (none without a cache) and its last
        // `width` ones are written.
        unsafe { filled_by_blocks(sources.len() * row_len, row_len, fill) }
    }
}
