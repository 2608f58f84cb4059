//! `cross_attention` against the single ops it is made of, both orders of its products against each other,
//! and finite differences.

use std::sync::Arc;

use super::*;
use crate::backend::Host;
use crate::gemm::Precision;
use crate::ops::attention::attention;
use crate::ops::dropout::DropoutKey;
use crate::ops::linear::linear;
use crate::ops::testing::{self, assert_close, assert_norm_close, leaf, values};

const DROPOUT: DropoutKey = DropoutKey { rate: 0.3, key: 5 };

#[derive(Clone, Debug)]
struct Case {
    q: Vec<usize>,
    states: Vec<usize>,
    heads: usize,
    d_kv: usize,
    width: usize,
    scale: f32,
    dropout: Option<DropoutKey>,
}

fn offsets(lengths: &[usize]) -> Arc<[usize]> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl Case {
    fn new(q: &[usize], states: &[usize]) -> Self {
        Self {
            q: q.to_vec(),
            states: states.to_vec(),
            heads: 2,
            d_kv: 32,
            width: 40,
            scale: 1.0,
            dropout: None,
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            q_offsets: offsets(&self.q),
            kv_offsets: offsets(&self.states),
            shared_keys: false,
            num_heads: self.heads,
            num_kv_heads: self.heads,
            causal: false,
            scale: self.scale,
            dropout: self.dropout,
        }
    }

    fn problem(&self) -> Problem {
        Problem {
            layout: self.layout(),
            d_kv: self.d_kv,
            width: self.width,
        }
    }

    /// Queries, states and both weights. Weights are small, so that no probability is one.
    fn inputs(&self) -> [Var<Host>; 4] {
        let (queries, states) = (self.q.iter().sum(), self.states.iter().sum());
        let features = self.heads * self.d_kv;
        let weight = |seed| {
            let weights = values(features * self.width, seed);
            let weights = weights
                .iter()
                .map(|w| w / (self.width as f32).sqrt())
                .collect();
            testing::leaf_of(weights, (features, self.width))
        };
        [
            leaf((queries, features), 1),
            leaf((states, self.width), 2),
            weight(3),
            weight(4),
        ]
    }

    fn fused<B: Backend>(&self, graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
        cross_attention(graph, &v[0], &v[1], [&v[2], &v[3]], &self.layout())
    }

    fn single<B: Backend>(&self, graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
        let (k, v_) = (linear(graph, &v[1], &v[2]), linear(graph, &v[1], &v[3]));
        attention(graph, &v[0], &k, &v_, None, &self.layout())
    }

    fn random(seed: u64) -> Self {
        let [first, second, third, d_kv] = testing::random_sizes(seed, 90);
        let [q, width, heads] = testing::random_sizes(seed + 1000, 70);
        Self {
            heads: 1 + heads % 3,
            d_kv: if seed.is_multiple_of(2) {
                32
            } else {
                32 * (1 + d_kv % 2)
            },
            width,
            scale: if seed.is_multiple_of(3) { 0.5 } else { 1.0 },
            dropout: seed.is_multiple_of(4).then_some(DROPOUT),
            ..Self::new(&[q % 7, 1, q % 40], &[first, second, third])
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(&[1], &[1]),
        Case::new(&[3, 1, 2], &[20, 90, 7]),
        // Sequences without queries, without states, and without both.
        Case::new(&[2, 0, 3, 0], &[0, 4, 2, 0]),
        Case {
            heads: 1,
            scale: 0.2,
            ..Case::new(&[2, 4], &[33, 31])
        },
        Case {
            d_kv: 64,
            width: 128,
            dropout: Some(DROPOUT),
            ..Case::new(&[3, 5], &[100, 64])
        },
        // More states than a strip has, and more terms than are summed at once.
        Case {
            width: 1056,
            ..Case::new(&[30], &[700])
        },
    ];
    cases.extend((0..25).map(Case::random));
    cases
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// The output and the gradients of queries, states, keys' and values' weights.
type Everything = [Vec<f32>; 5];

fn kernel_inputs(v: &[Var<Host>; 4]) -> Inputs<'_, Host> {
    Inputs {
        q: v[0].slice(),
        states: v[1].slice(),
        wk: v[2].tensor(),
        wv: v[3].tensor(),
    }
}

fn wanted(v: &[Var<Host>; 4]) -> Gradients<Vec<f32>> {
    Gradients {
        states: Some(vec![0.0; v[1].slice().len()]),
        wk: Some(WeightGradient(None)),
        wv: Some(WeightGradient(None)),
    }
}

fn everything(
    y: Vec<f32>,
    dq: Vec<f32>,
    gradients: Gradients<Vec<f32>>,
    of_weight: usize,
) -> Everything {
    let weight = |gradient: Option<WeightGradient<Vec<f32>>>| {
        let gradient = gradient.expect("a gradient was wanted").0;
        gradient.unwrap_or_else(|| vec![0.0; of_weight])
    };
    let states = gradients.states.expect("a gradient was wanted");
    [y, dq, states, weight(gradients.wk), weight(gradients.wv)]
}

fn both_orders(case: &Case) -> (Everything, Everything) {
    let (host, v, problem) = (Host::new(), case.inputs(), case.problem());
    let (inputs, of_weight) = (kernel_inputs(&v), v[2].slice().len());
    let dy = testing::output_weights(v[0].slice().len());
    let absorbed = {
        let (y, saved) = absorbed::forward(&host, inputs, &problem);
        let mut gradients = wanted(&v);
        let dq = absorbed::backward(&host, &dy, saved, inputs, &problem, &mut gradients);
        everything(y, dq, gradients, of_weight)
    };
    let (y, saved) = projected::forward(&host, inputs, &problem);
    let mut gradients = wanted(&v);
    let dq = projected::backward(&host, [&dy, &y], saved, inputs, &problem, &mut gradients);
    (absorbed, everything(y, dq, gradients, of_weight))
}

#[test]
fn both_orders_of_products_give_the_same() {
    for case in cases() {
        let (absorbed, projected) = both_orders(&case);
        for (i, (ours, theirs)) in absorbed.iter().zip(&projected).enumerate() {
            assert_close(&format!("{case:?}: {i}"), ours, &as_f64(theirs), 5e-4);
        }
    }
}

#[test]
fn equals_single_ops() {
    for case in cases().into_iter().take(12) {
        let inputs = case.inputs();
        let ours = testing::run!(&inputs, |g, v| case.fused(g, v));
        let theirs = testing::run_on_host(&inputs, |g, v| case.single(g, v));
        assert_close("output", &ours.0, &as_f64(&theirs.0), 1e-6);
        for (i, (ours, theirs)) in ours.1.iter().zip(&theirs.1).enumerate() {
            assert_close(&format!("gradient {i}"), ours, &as_f64(theirs), 1e-5);
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let case = Case {
        d_kv: 4,
        width: 6,
        ..Case::new(&[2, 1], &[5, 3])
    };
    testing::check_finite_differences!("cross_attention", &case.inputs(), 5e-3, |g, v| case
        .fused(g, v));
}

/// Gradients of what is not tuned are not computed, the others are the same.
#[test]
fn what_is_frozen_gets_no_gradient() {
    for precision in [Precision::F32, Precision::Bf16] {
        let device = Host::with_precision(precision);
        let case = Case::new(&[2, 3], &[70, 90]);
        let all = case
            .inputs()
            .map(|v| Var::leaf(device.tensor(v.slice().to_vec(), v.shape())));
        let (_, expected) = testing::run_on(&device, &all, |g, v| case.fused(g, v));
        for frozen in 0..4 {
            let mut some = all.clone();
            some[frozen] = Var::constant(some[frozen].tensor().clone());
            let (_, gradients) = testing::run_on(&device, &some, |g, v| case.fused(g, v));
            for (i, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
                if i == frozen {
                    assert!(gradient.is_empty(), "{precision:?}");
                } else {
                    assert_eq!(gradient, expected, "{precision:?}, {frozen} frozen");
                }
            }
        }
    }
}

fn is_absorbed(device: &Host, case: &Case) -> bool {
    let v = case
        .inputs()
        .map(|v| -> Var<Host> { Var::constant(device.tensor(v.slice().to_vec(), v.shape())) });
    let (_, saved) = device.cross_attention(kernel_inputs(&v), &case.problem());
    matches!(saved, HostSaved::Absorbed(_))
}

#[test]
fn queries_go_to_the_states_where_they_are_few() {
    let (exact, rounded) = (
        Host::with_precision(Precision::F32),
        Host::with_precision(Precision::Bf16),
    );
    let few = Case::new(&[3, 2], &[100, 50]);
    assert!(is_absorbed(&rounded, &few));
    assert!(!is_absorbed(&exact, &few));
    assert!(!is_absorbed(&rounded, &Case::new(&[30, 20], &[100, 50])));
    assert!(!is_absorbed(&rounded, &Case::new(&[3, 2], &[2, 1])));
    let narrow = Case { d_kv: 16, ..few };
    assert!(!is_absorbed(&rounded, &narrow));
}

#[test]
fn bf16_stays_within_its_rounding() {
    let case = Case {
        d_kv: 64,
        width: 96,
        dropout: Some(DROPOUT),
        ..Case::new(&[3, 2, 5], &[100, 80, 60])
    };
    let run = |precision| {
        let device = Host::with_precision(precision);
        assert_eq!(is_absorbed(&device, &case), precision == Precision::Bf16);
        let inputs = case
            .inputs()
            .map(|v| Var::leaf(device.tensor(v.slice().to_vec(), v.shape())));
        let (y, mut all) = testing::run_on(&device, &inputs, |g, v| case.fused(g, v));
        all.push(y);
        all
    };
    for (ours, exact) in run(Precision::Bf16).iter().zip(run(Precision::F32)) {
        assert_norm_close("in bf16", ours, &as_f64(&exact), 2e-2);
    }
}

/// A gradient is added to what is there.
#[test]
fn gradients_are_added() {
    let (host, case) = (
        Host::with_precision(Precision::Bf16),
        Case::new(&[2, 3], &[70, 90]),
    );
    let v = case
        .inputs()
        .map(|v| -> Var<Host> { Var::leaf(host.tensor(v.slice().to_vec(), v.shape())) });
    let (inputs, problem) = (kernel_inputs(&v), case.problem());
    let dy = testing::output_weights(v[0].slice().len());
    let run = |gradients: &mut Gradients<Vec<f32>>| {
        let (y, saved) = host.cross_attention(inputs, &problem);
        host.cross_attention_backward(&dy, &y, saved, inputs, &problem, gradients);
    };
    let mut once = wanted(&v);
    run(&mut once);
    let mut twice = wanted(&v);
    run(&mut twice);
    run(&mut twice);
    let flat = |gradients: Gradients<Vec<f32>>| -> Vec<f32> {
        let [.., states, wk, wv] = everything(Vec::new(), Vec::new(), gradients, 0);
        [states, wk, wv].concat()
    };
    let expected: Vec<f64> = flat(once).iter().map(|x| 2.0 * f64::from(*x)).collect();
    assert_close("twice", &flat(twice), &expected, 1e-5);
}
