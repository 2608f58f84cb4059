//! Seeded random inputs. Zeros and constants would hide costs and mistakes.

use promot_core::{Ragged, Seed, TokenBatch};
use promot_model::backend::{Device, Shape};
use promot_model::graph::Var;
use rand::Rng as _;

/// `len` numbers, uniform in (-1, 1); another `name` gives others.
pub fn values(name: &str, len: usize) -> Vec<f32> {
    let mut stream = Seed::new(0).stream("benchmark", name);
    (0..len).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// A random matrix whose gradient is wanted.
pub fn leaf<D: Device>(device: &D, name: &str, shape: Shape) -> Var<D> {
    let values = values(name, shape.0 * shape.1);
    Var::leaf(device.tensor(device.upload(values), shape))
}

/// `rows` sequences of random ids below `vocab_size`, with random lengths in `lengths`.
pub fn ragged(
    name: &str,
    rows: usize,
    lengths: std::ops::RangeInclusive<usize>,
    vocab_size: u32,
) -> Ragged {
    let mut stream = Seed::new(0).stream("benchmark", name);
    let mut ragged = Ragged::new();
    for _ in 0..rows {
        let length = stream.random_range(lengths.clone());
        let row: Vec<u32> = (0..length)
            .map(|_| stream.random_range(2..vocab_size))
            .collect();
        ragged.push(&row);
    }
    ragged
}

/// A batch of `rows` inputs of 20 to 120 tokens with targets of 2 to 4.
pub fn batch(name: &str, rows: usize, vocab_size: u32) -> TokenBatch {
    TokenBatch::new(
        ragged(&format!("{name} inputs"), rows, 20..=120, vocab_size),
        ragged(&format!("{name} targets"), rows, 2..=4, vocab_size),
    )
}
