//! The cache on the CPU: what each step computed stays where it is; in `bf16` precision, in bf16.

use half::bf16;

use super::Kernels;
use crate::backend::{Device as _, Host, HostTensor};
use crate::gemm::{Kept as _, Precision};
use crate::ops::attention::{Problem, TokenRows};
use crate::ops::parallel::{BLOCK_VALUES, filled_by_blocks};

/// Keys and values of every step, and where each row's tokens are among them.
#[derive(Default)]
pub struct HostKvCache {
    /// Of the rows that there were.
    steps: Steps,
    /// `(rows, steps)`: the row of a step's tensors.
    places: Vec<usize>,
}

enum Steps {
    F32(Vec<[HostTensor; 2]>),
    Bf16(Vec<[Vec<bf16>; 2]>),
}

impl Default for Steps {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl Steps {
    fn len(&self) -> usize {
        match self {
            Self::F32(steps) => steps.len(),
            Self::Bf16(steps) => steps.len(),
        }
    }
}

fn narrow(tensor: &HostTensor) -> Vec<bf16> {
    let values = Host::slice(tensor);
    // SAFETY: `narrow_into` writes all of a block.
    unsafe {
        filled_by_blocks(values.len(), BLOCK_VALUES, |first, out| {
            bf16::narrow_into(&values[first..][..out.len()], out);
        })
    }
}

impl Kernels for Host {
    type KvCache = HostKvCache;

    fn extend_cache(&self, cache: &mut HostKvCache, new: [&HostTensor; 2], sources: &[usize]) {
        let count = cache.steps.len();
        let mut places = Vec::with_capacity(sources.len() * (count + 1));
        for (row, &source) in sources.iter().enumerate() {
            places.extend_from_slice(&cache.places[source * count..][..count]);
            places.push(row);
        }
        cache.places = places;
        if count == 0 && self.precision() == Precision::Bf16 {
            cache.steps = Steps::Bf16(Vec::new());
        }
        match &mut cache.steps {
            Steps::F32(steps) => steps.push(new.map(HostTensor::clone)),
            Steps::Bf16(steps) => steps.push(new.map(narrow)),
        }
    }

    fn attention_to_cache(
        &self,
        q: &[f32],
        cache: &HostKvCache,
        bias: Option<&[f32]>,
        problem: &Problem,
    ) -> (Vec<f32>, Vec<f32>) {
        let width = problem.layout.num_kv_heads * problem.d_kv;
        let (places, count) = (&cache.places, cache.steps.len());
        let places = |row: usize| &places[row * count..][..count];
        match &cache.steps {
            Steps::F32(steps) => {
                let steps: Vec<_> = (steps.iter())
                    .map(|tensors| tensors.each_ref().map(Host::slice))
                    .collect();
                self.attention_to_tokens(q, bias, problem, |row| {
                    TokenRows::F32(rows_at(&steps, places(row), width))
                })
            }
            Steps::Bf16(steps) => {
                let steps: Vec<_> = (steps.iter())
                    .map(|values| values.each_ref().map(Vec::as_slice))
                    .collect();
                self.attention_to_tokens(q, bias, problem, |row| {
                    TokenRows::Bf16(rows_at(&steps, places(row), width))
                })
            }
        }
    }
}

/// A row's keys and values: of each step, those at its place.
fn rows_at<'x, E>(steps: &[[&'x [E]; 2]], places: &[usize], width: usize) -> Vec<[&'x [E]; 2]> {
    let tokens = steps.iter().zip(places);
    tokens
        .map(|(step, place)| step.map(|values| &values[place * width..][..width]))
        .collect()
}
