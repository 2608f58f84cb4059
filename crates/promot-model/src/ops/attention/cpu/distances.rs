//! The relative bias by distance: one row of numbers a head, read along a row of scores.

use std::f32::consts::LOG2_E;

use super::super::Problem;
use super::head::Head;
use super::wide::LANES;

/// Which way a row of scores runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// A query's scores with all keys.
    Keys,
    /// A key's scores with all queries.
    Queries,
}

/// The biases of all heads by distance, in the order in which rows of scores read them.
pub(super) struct Distances {
    /// `(H, span)`, in base 2; one row of zeros without a bias table.
    biases: Vec<f32>,
    /// The row of the table for each distance; none without a table.
    buckets: Vec<usize>,
    /// The largest distance there may be.
    reach: usize,
    along: Along,
}

impl Distances {
    pub(super) fn new(table: Option<&[f32]>, problem: &Problem, along: Along) -> Self {
        let (heads, reach) = (problem.layout.num_heads, reach(problem));
        let span = span(reach);
        let Some(table) = table else {
            return Self {
                biases: vec![0.0; span],
                buckets: Vec::new(),
                reach,
                along,
            };
        };
        let map = problem.buckets.expect("a bias has buckets");
        let bucket_of = |i| {
            let distance = i as isize - reach as isize;
            map.bucket(match along {
                Along::Keys => distance,
                Along::Queries => -distance,
            })
        };
        let buckets: Vec<usize> = (0..=2 * reach).map(bucket_of).collect();
        let mut biases = vec![0.0; heads * span];
        for (head, biases) in biases.chunks_exact_mut(span).enumerate() {
            for (bias, bucket) in biases.iter_mut().zip(&buckets) {
                *bias = table[bucket * heads + head] * LOG2_E;
            }
        }
        Self {
            biases,
            buckets,
            reach,
            along,
        }
    }

    /// Distances of one head, and what the padding of rows reads beyond them.
    pub(super) fn span(&self) -> usize {
        span(self.reach)
    }

    /// The biases of `head`, multiplied by [`LOG2_E`].
    pub(super) fn of_head(&self, head: usize) -> &[f32] {
        let row = if self.buckets.is_empty() { 0 } else { head };
        &self.biases[row * self.span()..][..self.span()]
    }

    /// Where the pair of a query at `position` and key `key` is in a head's row.
    #[inline(always)]
    pub(super) fn index(&self, position: isize, key: usize) -> usize {
        let distance = match self.along {
            Along::Keys => key as isize - position,
            Along::Queries => position - key as isize,
        };
        (self.reach as isize + distance) as usize
    }

    /// The row of the table for [`Self::index`] `index`.
    #[inline(always)]
    pub(super) fn bucket(&self, index: usize) -> usize {
        self.buckets[index]
    }

    /// Adds the score gradients of one head, `by_distance`, to its column of the table's gradient.
    pub(super) fn add_to_table(&self, by_distance: &[f32], head: Head<'_>, table: &mut [f32]) {
        let heads = head.heads();
        let reach = head.sequence.reach().min(self.reach);
        let span = self.reach - reach..=self.reach + reach;
        let pairs = self.buckets[span.clone()].iter().zip(&by_distance[span]);
        for (bucket, gradient) in pairs {
            table[bucket * heads + head.head] += gradient;
        }
    }
}

/// The largest distance between a query and a key of any sequence.
fn reach(problem: &Problem) -> usize {
    let lengths = |offsets: &[usize]| offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    lengths(&problem.layout.q_offsets).max(lengths(&problem.layout.kv_offsets))
}

fn span(reach: usize) -> usize {
    2 * reach + 1 + LANES
}
