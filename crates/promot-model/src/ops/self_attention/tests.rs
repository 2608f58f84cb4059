//! `self_attention` against the single ops it is made of, both ways through it against each other, and
//! finite differences.

use std::sync::Arc;

use super::*;
use crate::backend::Host;
use crate::gemm::Precision;
use crate::ops::attention::{BucketMap, attention};
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::testing::{self, assert_close, assert_norm_close, values};

const EPS: f32 = 1e-6;

#[derive(Clone, Debug)]
struct Case {
    lengths: Vec<usize>,
    heads: usize,
    kv_heads: usize,
    d_kv: usize,
    width: usize,
    causal: bool,
    scale: f32,
    with_bias: bool,
    /// Of the probabilities and of the output.
    dropouts: [Option<DropoutKey>; 2],
}

fn key(key: u64) -> Option<DropoutKey> {
    Some(DropoutKey { rate: 0.2, key })
}

impl Case {
    fn new(lengths: &[usize]) -> Self {
        Self {
            lengths: lengths.to_vec(),
            heads: 2,
            kv_heads: 2,
            d_kv: 16,
            width: 40,
            causal: false,
            scale: 1.0,
            with_bias: true,
            dropouts: [None; 2],
        }
    }

    /// Lengths that go sequence by sequence in `bf16`: several groups, with rests, empty ones among them.
    fn long() -> Self {
        Self::new(&[300, 0, 17, 290, 5, 6, 255, 64, 129, 31, 260, 280, 0])
    }

    fn random(seed: u64) -> Self {
        let [heads, d_kv, width, first, second] = testing::random_sizes(seed, 70);
        let kv_heads = 1 + heads % 3;
        let flag = |of: u64| seed.is_multiple_of(of);
        Self {
            kv_heads,
            heads: kv_heads * (1 + d_kv % 2),
            d_kv,
            width,
            causal: flag(2),
            scale: if flag(3) { 0.4 } else { 1.0 },
            with_bias: !flag(4),
            dropouts: [key(3).filter(|_| flag(5)), key(4).filter(|_| flag(6))],
            lengths: [
                [first + 4, 200, second + 4, 100, 77],
                [150, 211, 0, 130, 190],
            ]
            .concat(),
        }
    }

    fn layout(&self) -> Layout {
        let ends = self.lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let offsets: Arc<[usize]> = std::iter::once(0).chain(ends).collect();
        Layout {
            q_offsets: offsets.clone(),
            kv_offsets: offsets,
            shared_keys: false,
            num_heads: self.heads,
            num_kv_heads: self.kv_heads,
            causal: self.causal,
            scale: self.scale,
            dropout: self.dropouts[0],
        }
    }

    /// x, norm, q, k, v, o and the bias table. Weights are small, so that no probability is one.
    fn inputs(&self, device: &Host) -> Vec<Var<Host>> {
        let tokens = self.lengths.iter().sum();
        let (features, kv_features) = (self.heads * self.d_kv, self.kv_heads * self.d_kv);
        let shapes = [
            (tokens, self.width),
            (1, self.width),
            (features, self.width),
            (kv_features, self.width),
            (kv_features, self.width),
            (self.width, features),
            (8, self.heads),
        ];
        let leaf = |(seed, shape): (u64, (usize, usize))| {
            let small = |x: f32| {
                if shape.0 > 1 {
                    x / (shape.1 as f32).sqrt()
                } else {
                    x
                }
            };
            let values = values(shape.0 * shape.1, seed);
            let values = match seed {
                2.. => values.into_iter().map(small).collect(),
                _ => values,
            };
            Var::leaf(device.tensor(values, shape))
        };
        (0..).zip(shapes).map(leaf).collect()
    }

    fn bias<B: Backend>(&self, v: &[Var<B>]) -> Option<RelativeBias<B>> {
        self.with_bias.then(|| RelativeBias {
            table: v[6].clone(),
            buckets: BucketMap {
                num_buckets: 8,
                max_distance: 20,
                bidirectional: !self.causal,
            },
        })
    }

    fn fused<B: Backend>(&self, graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
        let weights = Weights {
            norm: v[1].clone(),
            q: v[2].clone(),
            k: v[3].clone(),
            v: v[4].clone(),
            o: v[5].clone(),
        };
        let (bias, layout) = (self.bias(v), self.layout());
        let rest = (EPS, self.dropouts[1]);
        self_attention(graph, &v[0], &weights, bias.as_ref(), &layout, rest)
    }

    fn single<B: Backend>(&self, graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
        let (bias, layout) = (self.bias(v), self.layout());
        let qkv = norm_linears(graph, &v[0], &v[1], &v[2..5], EPS);
        let attended = attention(graph, &qkv[0], &qkv[1], &qkv[2], bias.as_ref(), &layout);
        linear_add(graph, &v[0], &attended, &v[5], self.dropouts[1])
    }
}

fn short_cases() -> Vec<Case> {
    vec![
        Case::new(&[1]),
        Case::new(&[3, 0, 20, 7]),
        Case {
            kv_heads: 1,
            causal: true,
            scale: 0.3,
            ..Case::new(&[33, 4])
        },
        Case {
            with_bias: false,
            dropouts: [key(1), key(2)],
            ..Case::new(&[40, 30])
        },
    ]
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Output and gradients, in one list.
fn everything((y, mut gradients): testing::Results) -> Vec<Vec<f32>> {
    gradients.push(y);
    gradients
}

fn on(
    precision: Precision,
    case: &Case,
    op: impl Fn(&mut Graph<Host>, &[Var<Host>]) -> Var<Host>,
) -> Vec<Vec<f32>> {
    let device = Host::with_precision(precision);
    everything(testing::run_on(&device, &case.inputs(&device), op))
}

#[test]
fn equals_single_ops() {
    for case in short_cases() {
        let inputs = case.inputs(&Host::new());
        let ours = everything(testing::run!(&inputs, |g, v| case.fused(g, v)));
        let theirs = everything(testing::run_on_host(&inputs, |g, v| case.single(g, v)));
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_close(&format!("{case:?}: {i}"), ours, &as_f64(theirs), 1e-6);
        }
    }
    // As many tokens as go sequence by sequence in bf16: not in f32.
    let case = Case::long();
    let [ours, theirs] = [
        on(Precision::F32, &case, |g, v| case.fused(g, v)),
        on(Precision::F32, &case, |g, v| case.single(g, v)),
    ];
    assert_eq!(ours, theirs);
}

#[test]
fn gradients_equal_finite_differences() {
    let case = Case {
        d_kv: 4,
        width: 6,
        ..Case::new(&[5, 3])
    };
    let inputs = case.inputs(&Host::new());
    testing::check_finite_differences!("self_attention", &inputs, 5e-3, |g, v| case.fused(g, v));
}

#[test]
fn sequence_by_sequence_in_bf16_is_what_step_by_step_is() {
    let mut cases = vec![
        Case::long(),
        Case {
            causal: true,
            kv_heads: 1,
            d_kv: 64,
            scale: 0.2,
            dropouts: [key(8), key(9)],
            ..Case::long()
        },
    ];
    cases.extend((0..12).map(Case::random));
    for case in cases {
        assert!(by_sequence::fits(&case.layout()), "{case:?}");
        let ours = on(Precision::Bf16, &case, |g, v| case.fused(g, v));
        let theirs = on(Precision::Bf16, &case, |g, v| case.single(g, v));
        // Numbers are rounded where products would round them.
        assert_eq!(ours.last(), theirs.last(), "{case:?}");
        let exact = on(Precision::F32, &case, |g, v| case.single(g, v));
        for (i, ((ours, theirs), exact)) in ours.iter().zip(&theirs).zip(&exact).enumerate() {
            let name = format!("{case:?}: {i}");
            // Each is about half as far from the other as from what is exact.
            assert_norm_close(&name, ours, &as_f64(theirs), 2e-2);
            assert_norm_close(&name, ours, &as_f64(exact), 2e-2);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = Case {
        dropouts: [key(8), key(9)],
        ..Case::long()
    };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap()
            .install(|| on(Precision::Bf16, &case, |g, v| case.fused(g, v)))
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// Gradients of what is not tuned are not computed, the others are the same.
#[test]
fn what_is_frozen_gets_no_gradient() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (device, case) = (Host::with_precision(precision), Case::long());
        let all = case.inputs(&device);
        let (_, expected) = testing::run_on(&device, &all, |g, v| case.fused(g, v));
        for frozen in [0..1, 1..6, 1..7, 6..7] {
            let mut some = all.clone();
            for var in &mut some[frozen.clone()] {
                *var = Var::constant(var.tensor().clone());
            }
            let (_, gradients) = testing::run_on(&device, &some, |g, v| case.fused(g, v));
            for (i, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
                if frozen.contains(&i) {
                    assert!(gradient.is_empty(), "{precision:?}");
                } else {
                    assert_eq!(gradient, expected, "{precision:?}, {frozen:?} frozen, {i}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_added() {
    use crate::ops::add::add;
    let case = Case::long();
    let once = on(Precision::Bf16, &case, |g, v| case.fused(g, v));
    let twice = on(Precision::Bf16, &case, |g, v| {
        let (first, second) = (case.fused(g, v), case.fused(g, v));
        add(g, &first, &second)
    });
    for (twice, once) in twice.iter().zip(&once) {
        let expected: Vec<f64> = once.iter().map(|x| 2.0 * f64::from(*x)).collect();
        assert_close("twice", twice, &expected, 1e-4);
    }
}

#[test]
fn sequences_go_by_themselves_where_they_are_many_and_long() {
    let fits = |lengths: &[usize]| by_sequence::fits(&Case::new(lengths).layout());
    assert!(fits(&[300; 4]) && fits(&[30; 40]) && fits(&Case::long().lengths));
    // One that is as long as all others, few tokens in all, one that is short, none.
    assert!(!fits(&[2000, 500, 500, 500]));
    assert!(!fits(&[30; 10]));
    assert!(!fits(&[300, 300, 300, 300, 3]));
    assert!(!fits(&[]));
}
