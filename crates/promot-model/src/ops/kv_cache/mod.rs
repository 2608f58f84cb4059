//! Keys and values of what rows have decoded: a token a row longer with every step.

mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use super::attention::{self, Layout, Part, RelativeBias};
use crate::backend::{Backend, Device};
use crate::graph::Var;

pub use cpu::HostKvCache;
pub use cuda::GpuKvCache;

/// The kernels of [`KvCache`].
pub trait Kernels: Device {
    /// Keys and values of all rows' tokens, wherever they are; none at first.
    type KvCache: Default + 'static;
    /// Makes every row a token longer: row `r` is what row `sources[r]` was, then row `r` of the new keys
    /// and values, `(rows, G * d_kv)` each.
    fn extend_cache(&self, cache: &mut Self::KvCache, new: [&Self::Tensor; 2], sources: &[usize]);
    /// As [`attention`](attention::Kernels::attention): one query a row, and all tokens of the row.
    fn attention_to_cache(
        &self,
        q: &Self::Slice,
        cache: &Self::KvCache,
        bias: Option<&Self::Slice>,
        problem: &attention::Problem,
    ) -> (Self::Buffer, Self::Buffer);
}

/// Keys and values of the rows' own tokens, as many of each row.
pub struct KvCache<B: Backend> {
    cache: B::KvCache,
    rows: usize,
    steps: usize,
    /// Columns of keys and values, `G * d_kv`.
    width: usize,
}

impl<B: Backend> Default for KvCache<B> {
    fn default() -> Self {
        Self {
            cache: B::KvCache::default(),
            rows: 0,
            steps: 0,
            width: 0,
        }
    }
}

impl<B: Backend> KvCache<B> {
    /// Makes every row a token longer, `k` and `v`, `(rows, G * d_kv)`: row `r` continues row `sources[r]`
    /// of the step before, so that beams change places and leave by index. Records nothing: decoding is
    /// not differentiated.
    ///
    /// # Panics
    /// If the shapes do not fit, or a source is no row of the step before.
    pub fn extend(&mut self, device: &B, k: &Var<B>, v: &Var<B>, sources: &[usize]) {
        let (rows, width) = k.shape();
        assert_eq!(k.shape(), v.shape(), "kv_cache: keys and values");
        assert_eq!(rows, sources.len(), "kv_cache: a source for each row");
        if self.steps > 0 {
            assert_eq!(width, self.width, "kv_cache: columns");
            let known = sources.iter().all(|&source| source < self.rows);
            assert!(known, "kv_cache: sources in the cache");
        }
        device.extend_cache(&mut self.cache, [k.tensor(), v.tensor()], sources);
        (self.rows, self.width) = (rows, width);
        self.steps += 1;
    }

    /// What one query a row finds at the tokens of its row, as
    /// [`attention_part`](attention::attention_part).
    ///
    /// # Panics
    /// As [`attention`](attention::attention()).
    pub fn attention_part(
        &self,
        device: &B,
        q: &Var<B>,
        bias: Option<&RelativeBias<B>>,
        layout: &Layout,
    ) -> Part<B> {
        let tokens = (self.rows * self.steps, self.width);
        let bias_shape = bias.map(|bias| (bias.table.shape(), bias.buckets));
        let problem = attention::Problem::new(q.shape(), tokens, tokens, bias_shape, layout);
        assert_eq!(q.shape().0, self.rows, "kv_cache: a query a row");
        let bias = bias.map(|bias| bias.table.slice());
        let (y, log_sum_exp) = device.attention_to_cache(q.slice(), &self.cache, bias, &problem);
        Part { y, log_sum_exp }
    }
}
