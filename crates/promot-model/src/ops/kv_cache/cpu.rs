//! The cache on the CPU: what each step computed stays where it is.

use super::Kernels;
use crate::backend::{Device as _, Host, HostTensor};
use crate::ops::attention::Problem;

/// Keys and values of every step, and where each row's tokens are among them.
#[derive(Default)]
pub struct HostKvCache {
    /// Of the rows that there were.
    steps: Vec<[HostTensor; 2]>,
    /// `(rows, steps)`: the row of a step's tensors.
    places: Vec<usize>,
}

impl Kernels for Host {
    type KvCache = HostKvCache;

    fn extend_cache(&self, cache: &mut HostKvCache, new: [&HostTensor; 2], sources: &[usize]) {
        let steps = cache.steps.len();
        let mut places = Vec::with_capacity(sources.len() * (steps + 1));
        for (row, &source) in sources.iter().enumerate() {
            places.extend_from_slice(&cache.places[source * steps..][..steps]);
            places.push(row);
        }
        cache.places = places;
        cache.steps.push(new.map(HostTensor::clone));
    }

    fn attention_to_cache(
        &self,
        q: &[f32],
        cache: &HostKvCache,
        bias: Option<&[f32]>,
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        let width = problem.layout.num_kv_heads * problem.d_kv;
        let steps: Vec<_> = cache
            .steps
            .iter()
            .map(|tensors| tensors.each_ref().map(Host::slice))
            .collect();
        let places = &cache.places;
        let tokens = |row: usize| {
            let places = &places[row * steps.len()..][..steps.len()];
            let tokens = steps.iter().zip(places);
            tokens
                .map(|(step, place)| step.map(|values| &values[place * width..][..width]))
                .collect()
        };
        self.attention_to_tokens(q, bias, problem, tokens)
    }
}
