//! `extend` against rows of tokens that are moved about one by one.

use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::backend::Host;
use crate::backend::gpu::emulated::{emulated, schedules};
use crate::gemm::Precision;
use crate::ops::testing::leaf;

/// Rows of tokens, each `(tokens, width)`.
type Rows = Vec<Vec<f32>>;

fn step(rows: &Rows, new: &Var<Host>, sources: &[usize]) -> Rows {
    let width = new.shape().1;
    let continued = sources.iter().enumerate().map(|(row, &source)| {
        let mut tokens = rows.get(source).cloned().unwrap_or_default();
        tokens.extend_from_slice(&new.slice()[row * width..][..width]);
        tokens
    });
    continued.collect()
}

#[test]
fn rows_continue_the_ones_they_came_from() {
    check_rows(&Host::new());
    for &schedule in schedules() {
        check_rows(&emulated(Precision::F32, schedule));
    }
}

fn check_rows<B: Backend>(device: &B) {
    let mut stream = promot_core::Stream::seed_from_u64(3);
    for width in [1, 5, 64] {
        let (mut expected, mut cache) = (Rows::new(), None);
        // Rows that change places, are there twice, and leave.
        for (steps, rows) in [4, 4, 7, 3, 3, 1].into_iter().enumerate() {
            let before = expected.len().max(1);
            let sources: Vec<usize> = (0..rows).map(|_| stream.random_range(0..before)).collect();
            let new = leaf((rows, width), steps as u64);
            expected = step(&expected, &new, &sources);
            let new = device.tensor(device.upload(new.slice().to_vec()), new.shape());
            let new = Var::constant(new);
            let extended = extend(device, cache.as_ref(), &new, &sources, steps);
            assert_eq!(extended.shape(), (rows * (steps + 1), width));
            assert_eq!(device.download(extended.slice()), expected.concat());
            cache = Some(extended);
        }
    }
}

#[test]
fn no_rows_are_no_cache() {
    let empty = Var::constant(Host::new().tensor(Vec::new(), (0, 3)));
    assert_eq!(extend(&Host::new(), None, &empty, &[], 0).shape(), (0, 3));
}

#[test]
#[should_panic(expected = "sources in the cache")]
fn a_source_beyond_the_cache_is_a_mistake() {
    let host = Host::new();
    let first = extend(&host, None, &leaf((2, 3), 1), &[0, 1], 0);
    extend(&host, Some(&first), &leaf((1, 3), 2), &[2], 1);
}
