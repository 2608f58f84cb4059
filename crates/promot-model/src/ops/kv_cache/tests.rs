//! The cache against attention to rows of tokens that are moved about one by one.

use std::sync::Arc;

use half::bf16;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::backend::Host;
use crate::backend::gpu::emulated::{emulated, schedules};
use crate::gemm::Precision;
use crate::ops::attention::{BucketMap, attention_part};
use crate::ops::testing::values;

/// Rows of tokens, each `(tokens, width)`.
type Rows = Vec<Vec<f32>>;

fn step(rows: &Rows, new: &[f32], sources: &[usize]) -> Rows {
    let width = new.len() / sources.len().max(1);
    let continued = sources.iter().enumerate().map(|(row, &source)| {
        let mut tokens = rows.get(source).cloned().unwrap_or_default();
        tokens.extend_from_slice(&new[row * width..][..width]);
        tokens
    });
    continued.collect()
}

fn constant<B: Backend>(device: &B, values: Vec<f32>, width: usize) -> Var<B> {
    let shape = (values.len() / width, width);
    Var::constant(device.tensor(device.upload(values), shape))
}

#[test]
fn rows_continue_the_ones_they_came_from() {
    for precision in [Precision::F32, Precision::Bf16] {
        let kept = match precision {
            Precision::F32 => |x| x,
            Precision::Bf16 => |x| bf16::from_f32(x).to_f32(),
        };
        check_rows(&Host::with_precision(precision), kept);
        for &schedule in schedules() {
            check_rows(&emulated(precision, schedule), |x| x);
        }
    }
}

/// The same bits as of tokens that stand next to each other; `kept` is how the cache has a number.
fn check_rows<B: Backend>(device: &B, kept: impl Fn(f32) -> f32 + Copy) {
    let mut stream = promot_core::Stream::seed_from_u64(3);
    for (heads, kv_heads, d_kv) in [(1, 1, 1), (2, 2, 5), (6, 2, 16)] {
        let width = kv_heads * d_kv;
        let bias = RelativeBias {
            table: constant(device, values(8 * heads, 9), heads),
            buckets: BucketMap {
                num_buckets: 8,
                max_distance: 16,
                bidirectional: false,
            },
        };
        let (mut keys, mut of_values) = (Rows::new(), Rows::new());
        let mut cache = KvCache::default();
        // Rows that change places, are there twice, and leave.
        for (steps, rows) in [4, 4, 7, 3, 3, 1].into_iter().enumerate() {
            let before = keys.len().max(1);
            let sources: Vec<usize> = (0..rows).map(|_| stream.random_range(0..before)).collect();
            let seed = 3 * steps as u64;
            let (k, v) = (values(rows * width, seed), values(rows * width, seed + 1));
            let all_kept = |x: &[f32]| -> Vec<f32> { x.iter().copied().map(kept).collect() };
            keys = step(&keys, &all_kept(&k), &sources);
            of_values = step(&of_values, &all_kept(&v), &sources);
            let (k, v) = (constant(device, k, width), constant(device, v, width));
            cache.extend(device, &k, &v, &sources);

            let q = constant(device, values(rows * heads * d_kv, seed + 2), heads * d_kv);
            let offsets =
                |tokens: usize| -> Arc<[usize]> { (0..=rows).map(|row| row * tokens).collect() };
            let layout = Layout {
                q_offsets: offsets(1),
                kv_offsets: offsets(steps + 1),
                shared_keys: false,
                num_heads: heads,
                num_kv_heads: kv_heads,
                causal: true,
                scale: 0.5,
                dropout: None,
            };
            let part = cache.attention_part(device, &q, None, &layout);
            let (k, v) = (
                constant(device, keys.concat(), width),
                constant(device, of_values.concat(), width),
            );
            let expected = attention_part(device, &q, &k, &v, &layout);
            assert_same(device, &part, &expected);

            let mut graph = crate::graph::Graph::inference(device);
            let y = attention::attention(&mut graph, &q, &k, &v, Some(&bias), &layout);
            let part = cache.attention_part(device, &q, Some(&bias), &layout);
            assert_eq!(device.download(part.y.as_ref()), device.download(y.slice()));
        }
    }
}

fn assert_same<B: Backend>(device: &B, part: &Part<B>, expected: &Part<B>) {
    let download = |buffer: &B::Buffer| device.download(buffer.as_ref());
    assert_eq!(download(&part.y), download(&expected.y));
    assert_eq!(download(&part.log_sum_exp), download(&expected.log_sum_exp));
}

#[test]
fn no_rows_are_no_cache() {
    let host = Host::new();
    let empty = Var::constant(host.tensor(Vec::new(), (0, 3)));
    let mut cache = KvCache::default();
    cache.extend(&host, &empty, &empty, &[]);
    assert_eq!((cache.rows, cache.steps), (0, 1));
}

#[test]
#[should_panic(expected = "sources in the cache")]
fn a_source_beyond_the_cache_is_a_mistake() {
    let host = Host::new();
    let mut cache = KvCache::default();
    let two = constant(&host, values(6, 1), 3);
    cache.extend(&host, &two, &two, &[0, 1]);
    let one = constant(&host, values(3, 2), 3);
    cache.extend(&host, &one, &one, &[2]);
}
