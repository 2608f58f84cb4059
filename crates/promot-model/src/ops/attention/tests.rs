//! `attention` against an f64 loop, dfdx's softmax attention and finite differences, over ragged
//! shapes: length 1, empty sequences, q_len != kv_len, causal, with and without bias, grouped heads.

mod fixed;
mod gpu;
mod oracle;

use dfdx::shapes::Axis;
use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, PermuteTo as _, SumTo as _, TryMatMul as _};

use rand::{Rng as _, SeedableRng as _};

use self::oracle::Oracle;
use super::*;
use crate::backend::Host;
use crate::gemm::Precision;
use crate::ops::testing::{self, assert_close, leaf};

const BUCKETS: BucketMap = BucketMap {
    num_buckets: 8,
    max_distance: 16,
    bidirectional: true,
};

#[derive(Clone, Debug)]
struct Case {
    q: Vec<usize>,
    k: Vec<usize>,
    heads: usize,
    kv_heads: usize,
    d_kv: usize,
    causal: bool,
    bias: bool,
    scale: f32,
}

/// Lengths of queries and keys, whether causal, with bias, and the scale.
fn case(q: &[usize], k: &[usize], causal: bool, bias: bool, scale: f32) -> Case {
    Case {
        q: q.to_vec(),
        k: k.to_vec(),
        heads: 2,
        kv_heads: 2,
        d_kv: 3,
        causal,
        bias,
        scale,
    }
}

/// The same with two query heads for each head of keys.
fn grouped(case: Case) -> Case {
    Case {
        heads: 2 * case.kv_heads,
        ..case
    }
}

/// Small shapes: of few queries and of more, and a query that sees no key.
fn small_cases() -> Vec<Case> {
    vec![
        grouped(case(&[3, 1, 19], &[3, 1, 19], true, false, 0.5)),
        grouped(case(&[2, 6, 0, 7], &[4, 9, 3, 6], true, true, 0.5)),
        case(&[1], &[1], false, true, 1.0),
        case(&[3, 1, 19], &[3, 1, 19], false, true, 1.0),
        case(&[3, 0, 1, 6], &[3, 0, 1, 6], true, true, 1.0),
        case(&[2, 1, 5], &[4, 1, 17], false, false, 0.5),
        case(&[1, 2], &[5, 4], true, true, 1.0),
        case(&[2, 0, 3], &[0, 4, 2], false, false, 1.0),
        case(&[4, 7], &[2, 5], true, true, 0.5),
    ]
}

fn offsets(lengths: &[usize]) -> Arc<[usize]> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl Case {
    fn layout(&self, dropout: Option<DropoutKey>) -> Layout {
        Layout {
            q_offsets: offsets(&self.q),
            kv_offsets: offsets(&self.k),
            shared_keys: false,
            num_heads: self.heads,
            num_kv_heads: self.kv_heads,
            causal: self.causal,
            scale: self.scale,
            dropout,
        }
    }

    fn inputs(&self) -> Vec<Var<Host>> {
        let (q, k): (usize, usize) = (self.q.iter().sum(), self.k.iter().sum());
        let shapes = [(q, self.heads), (k, self.kv_heads), (k, self.kv_heads)];
        let mut inputs: Vec<_> = shapes
            .into_iter()
            .zip(1..)
            .map(|((rows, heads), seed)| leaf((rows, heads * self.d_kv), seed))
            .collect();
        if self.bias {
            inputs.push(leaf((BUCKETS.num_buckets, self.heads), 4));
        }
        inputs
    }

    fn buckets(&self) -> BucketMap {
        BucketMap {
            bidirectional: !self.causal,
            ..BUCKETS
        }
    }

    fn op<B: Backend>(
        &self,
        graph: &mut Graph<B>,
        v: &[Var<B>],
        dropout: Option<DropoutKey>,
    ) -> Var<B> {
        let bias = v.get(3).map(|table| RelativeBias {
            table: table.clone(),
            buckets: self.buckets(),
        });
        attention(
            graph,
            &v[0],
            &v[1],
            &v[2],
            bias.as_ref(),
            &self.layout(dropout),
        )
    }

    /// Compares output and gradients with the oracle: every number by itself in `f32`, whose errors
    /// grow with the terms that it is a sum of, and by the norms of tensors in `bf16`, whose roundings
    /// (a relative 2^-9 each) say nothing about single numbers in which terms cancel.
    fn check(&self, precision: Precision, dropout: Option<DropoutKey>) {
        let inputs = self.inputs();
        let host = Host::with_precision(precision);
        let results = testing::run_on(&host, &inputs, |g, v| self.op(g, v, dropout));
        let name = format!("{self:?}, {precision:?}, {dropout:?}");
        Oracle::new(self, &inputs, dropout).check(&name, &results, precision);
    }
}

impl Oracle {
    /// Asserts that results are these, as [`Case::check`] says.
    fn check(&self, name: &str, (y, gradients): &testing::Results, precision: Precision) {
        let expected = std::iter::once(&self.y).chain(&self.gradients);
        let actual = std::iter::once(y).chain(gradients);
        let expected = expected.zip(&self.term_norms);
        for (i, (actual, (expected, &terms))) in actual.zip(expected).enumerate() {
            let name = format!("{name}, tensor {i}");
            match precision {
                Precision::F32 => {
                    let of_one_number = terms / (expected.len().max(1) as f64).sqrt();
                    assert_close(&name, actual, expected, 3e-5 * (1.0 + of_one_number));
                }
                Precision::Bf16 => assert_norm_close(&name, actual, expected, terms, 2e-2),
            }
        }
    }
}

/// Asserts `norm(actual - expected) <= tolerance * size`, where `size` is the norm of what is
/// expected or of the terms that it is a sum of, whichever is larger: with a single key the gradient
/// of the queries cancels to zero, and roundings are all there is.
fn assert_norm_close(name: &str, actual: &[f32], expected: &[f64], terms: f64, tolerance: f64) {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let mut errors = actual.iter().zip(expected).map(|(&a, e)| f64::from(a) - e);
    let error = norm(&mut errors);
    let size = norm(&mut expected.iter().copied()).max(terms);
    assert!(
        error <= tolerance * size,
        "{name}: off by {error} of {size}"
    );
}

const DROPOUT: DropoutKey = DropoutKey { rate: 0.3, key: 9 };

#[test]
fn equals_an_f64_loop_in_both_precisions() {
    for case in small_cases() {
        for precision in [Precision::F32, Precision::Bf16] {
            case.check(precision, None);
            case.check(precision, Some(DROPOUT));
        }
    }
}

/// Around the borders of vectors, matrix tiles and strips, and of what counts as few queries.
#[test]
fn equals_an_f64_loop_around_borders() {
    for (q, k) in [
        (4, 700),
        (5, 700),
        (16, 17),
        (32, 31),
        (33, 1300),
        (700, 33),
        (192, 192),
        (193, 193),
        (321, 65),
    ] {
        for causal in [false, true] {
            let case = Case {
                heads: 1,
                kv_heads: 1,
                d_kv: 16,
                ..case(&[q], &[k], causal, true, 1.0)
            };
            case.check(Precision::F32, None);
            case.check(Precision::Bf16, Some(DROPOUT));
        }
    }
}

/// Sequences of all lengths, none among them; up to `most_heads` heads of keys, and as many queries' each.
fn random_case(stream: &mut promot_core::Stream, most_heads: usize) -> Case {
    let sequences = stream.random_range(1..5);
    let most = [4, 9, 40, 150][stream.random_range(0..4)];
    let mut lengths = || {
        (0..sequences)
            .map(|_| stream.random_range(0..=most))
            .collect()
    };
    let (q, k): (Vec<_>, Vec<_>) = (lengths(), lengths());
    let kv_heads = stream.random_range(1..=most_heads);
    Case {
        q,
        k,
        heads: kv_heads * stream.random_range(1..=most_heads),
        kv_heads,
        d_kv: [1, 3, 8, 20, 64][stream.random_range(0..5)],
        causal: stream.random(),
        bias: stream.random(),
        scale: if stream.random() { 1.0 } else { 0.3 },
    }
}

#[test]
fn equals_an_f64_loop_for_random_shapes() {
    let mut stream = promot_core::Stream::seed_from_u64(20);
    for _ in 0..60 {
        let case = random_case(&mut stream, 3);
        let dropout = DROPOUT;
        case.check(Precision::F32, stream.random::<bool>().then_some(dropout));
        case.check(Precision::Bf16, stream.random::<bool>().then_some(dropout));
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for case in small_cases() {
        for dropout in [None, Some(DROPOUT)] {
            testing::check_finite_differences!(
                &format!("{case:?}"),
                &case.inputs(),
                5e-3,
                |g, v| case.op(g, v, dropout),
            );
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let lengths = [40, 3, 200, 1, 0, 64, 33];
    let case = Case {
        d_kv: 16,
        ..case(&lengths, &lengths, false, true, 1.0)
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let host = Host::with_precision(precision);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            // Tensors stay on their thread, so the inputs are made there.
            pool.install(|| {
                testing::run_on(&host, &case.inputs(), |g, v| case.op(g, v, Some(DROPOUT)))
            })
        };
        let one = run(1);
        assert_eq!(one, run(2), "{precision:?}");
        assert_eq!(one, run(3), "{precision:?}");
    }
}

#[test]
fn equals_dfdx_softmax_attention_for_one_head() {
    let (len, width) = (40, 8);
    let inputs = [
        leaf((len, width), 5),
        leaf((len, width), 6),
        leaf((len, width), 7),
    ];
    let layout = Layout {
        q_offsets: offsets(&[len]),
        kv_offsets: offsets(&[len]),
        shared_keys: false,
        num_heads: 1,
        num_kv_heads: 1,
        causal: false,
        scale: 1.0,
        dropout: None,
    };
    let (y, ours) = testing::run!(&inputs, |g, v| {
        attention(g, &v[0], &v[1], &v[2], None, &layout)
    });
    let [q, k, v] = [0, 1, 2].map(|i| inputs[i].tensor());
    let scores = q.leaky_trace().matmul(k.leaky_trace().permute());
    let theirs = scores.softmax::<Axis<1>>().matmul(v.leaky_trace());
    let values: Vec<f64> = theirs.as_vec().into_iter().map(f64::from).collect();
    assert_close("output", &y, &values, 1e-5);
    let weights = testing::dfdx_tensor(testing::output_weights(y.len()), (len, width));
    let gradients = (theirs * weights).sum().backward();
    for (ours, input) in ours.iter().zip(&inputs) {
        assert_close(
            "gradient",
            ours,
            &testing::dfdx_gradient(&gradients, input),
            1e-4,
        );
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let batch = &small_cases()[3];
    let inputs = batch.inputs();
    let (batched, _) = testing::run!(&inputs, |g, v| batch.op(g, v, None));
    let alone = case(&[19], &[19], false, true, 1.0);
    let width = alone.heads * alone.d_kv;
    let mut own: Vec<_> = inputs[..3]
        .iter()
        .map(|var| testing::leaf_of(var.slice()[4 * width..].to_vec(), (19, width)))
        .collect();
    own.push(inputs[3].clone());
    let (single, _) = testing::run!(&own, |g, v| alone.op(g, v, None));
    assert_eq!(batched[4 * width..], single);
}

#[test]
fn a_frozen_bias_table_gets_no_gradient_and_leaves_the_others_as_they_are() {
    let case = &small_cases()[3];
    let mut inputs = case.inputs();
    let (_, tuned) = testing::run!(&inputs, |g, v| case.op(g, v, None));
    inputs[3] = Var::constant(inputs[3].tensor().clone());
    let (_, frozen) = testing::run!(&inputs, |g, v| case.op(g, v, None));
    assert_eq!(tuned[..3], frozen[..3]);
    assert!(frozen[3].is_empty());
}

/// A constant of seeded values.
fn constant<B: Backend>(device: &B, shape: Shape, seed: u64) -> Var<B> {
    let values = testing::values(shape.0 * shape.1, seed);
    Var::constant(device.tensor(device.upload(values), shape))
}

/// Some rows of a tensor.
fn rows<B: Backend>(device: &B, x: &Var<B>, first: usize, count: usize) -> Var<B> {
    let width = x.shape().1;
    let values = device.download(x.slice())[first * width..][..count * width].to_vec();
    Var::constant(device.tensor(device.upload(values), (count, width)))
}

fn check_parts<B: Backend>(device: &B, tolerance: f64) {
    let (heads, kv_heads, d) = (4, 2, 5);
    let q = constant(device, (9, heads * d), 1);
    let [k, v] = [2, 3].map(|seed| constant(device, (12, kv_heads * d), seed));
    let layout = |q: &[usize], k: &[usize], causal| Layout {
        q_offsets: offsets(q),
        kv_offsets: offsets(k),
        shared_keys: false,
        num_heads: heads,
        num_kv_heads: kv_heads,
        causal,
        scale: 0.4,
        dropout: None,
    };
    // Of 12 keys, the queries see the first 3 in one place, none in a second, the rest in a third.
    let whole = attention(
        &mut Graph::inference(device),
        &q,
        &k,
        &v,
        None,
        &layout(&[9], &[12], true),
    );
    let part = |first, count, causal| {
        let (k, v) = (
            rows(device, &k, first, count),
            rows(device, &v, first, count),
        );
        attention_part(device, &q, &k, &v, &layout(&[9], &[count], causal))
    };
    let parts = vec![part(0, 3, false), part(0, 0, false), part(3, 9, true)];
    let merged = merge_parts(device, parts, q.shape(), heads);
    assert_same(device, &merged, &whole, tolerance);

    let nothing = merge_parts(
        device,
        vec![part(0, 0, false), part(0, 0, false)],
        q.shape(),
        heads,
    );
    let nothing = device.download(nothing.slice());
    assert!(nothing.iter().all(|&y| y == 0.0));
    device.check().unwrap();
}

fn check_shared_keys<B: Backend>(device: &B, tolerance: f64) {
    let (heads, d) = (2, 16);
    let lengths = [3, 0, 40, 1, 7];
    let q = constant(device, (51, heads * d), 1);
    let [k, v] = [2, 3].map(|seed| constant(device, (90, heads * d), seed));
    let layout = |q: &[usize], shared_keys| Layout {
        q_offsets: offsets(q),
        kv_offsets: offsets(&[90]),
        shared_keys,
        num_heads: heads,
        num_kv_heads: heads,
        causal: false,
        scale: 0.3,
        dropout: None,
    };
    let run = |layout: &Layout| {
        let mut graph = Graph::inference(device);
        attention(&mut graph, &q, &k, &v, None, layout)
    };
    let shared = run(&layout(&lengths, true));
    // One sequence of all queries: without a mask, which queries are together does not matter.
    let whole = run(&layout(&[51], false));
    assert_same(device, &shared, &whole, tolerance);
    device.check().unwrap();
}

fn assert_same<B: Backend>(device: &B, actual: &Var<B>, expected: &Var<B>, tolerance: f64) {
    let expected = device.download(expected.slice());
    let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
    assert_close(
        "output",
        &device.download(actual.slice()),
        &expected,
        tolerance,
    );
}

#[test]
fn parts_put_together_are_the_attention_to_all_keys() {
    check_parts(&Host::new(), 1e-5);
}

#[test]
fn sequences_that_share_keys_see_what_each_would_see_alone() {
    check_shared_keys(&Host::new(), 1e-5);
}
