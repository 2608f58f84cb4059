//! Cached keys or values of decoding: a token a row longer with every step.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Device};
use crate::graph::Var;

/// Sizes of a cache that is extended.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Tokens of each row so far.
    pub steps: usize,
    /// Columns of keys and values, `H * d_kv`.
    pub width: usize,
}

/// The kernel of [`extend`].
pub trait Kernels: Device {
    /// For each row `r` the `steps` tokens of row `sources[r]` of `cache`, then row `r` of `new`.
    fn extend_cache(
        &self,
        cache: Option<&Self::Slice>,
        new: &Self::Slice,
        sources: &[usize],
        sizes: Sizes,
    ) -> Self::Buffer;
}

/// The cache after a step in which row `r` continues row `sources[r]` of the step before: beams
/// change places by index, and their tokens are copied once a step, to where the new one goes too.
///
/// `new` is `(rows, H * d_kv)`, the result `(rows * steps, H * d_kv)` with rows one after another;
/// `cache` is the result of the step before, none in the first step. Records nothing: decoding is
/// not differentiated.
///
/// # Panics
/// If the shapes do not fit, or a source is no row of the cache.
pub fn extend<B: Backend>(
    device: &B,
    cache: Option<&Var<B>>,
    new: &Var<B>,
    sources: &[usize],
    steps: usize,
) -> Var<B> {
    let (rows, width) = new.shape();
    assert_eq!(rows, sources.len(), "kv_cache: a source for each row");
    let cached = cache.map_or(0, |cache| {
        assert_eq!(cache.shape().1, width, "kv_cache: columns");
        cache.shape().0
    });
    if steps > 0 {
        let most = sources.iter().max().map_or(0, |row| row + 1);
        assert!(most * steps <= cached, "kv_cache: sources in the cache");
    }
    let sizes = Sizes { steps, width };
    let buffer = device.extend_cache(cache.map(Var::slice), new.slice(), sources, sizes);
    Var::constant(device.tensor(buffer, (rows * (steps + 1), width)))
}
