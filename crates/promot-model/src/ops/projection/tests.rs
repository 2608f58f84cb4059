//! `norm_linears` and `linear_add` against the single ops they are made of, and finite differences.

use super::*;
use crate::backend::{Device as _, Host};
use crate::gemm::Precision;
use crate::ops::add::add;
use crate::ops::linear::linear;
use crate::ops::rms_norm::rms_norm;
use crate::ops::testing::{self, assert_close, assert_norm_close, leaf};

const EPS: f32 = 1e-6;

/// x, norm and three weights of different heights.
fn inputs(tokens: usize, width: usize) -> Vec<Var<Host>> {
    vec![
        leaf((tokens, width), 1),
        leaf((1, width), 2),
        leaf((5, width), 3),
        leaf((33, width), 4),
        leaf((64, width), 5),
    ]
}

/// A function of all three outputs, so that each has a gradient.
fn joined<B: Backend>(graph: &mut Graph<B>, outputs: &[Var<B>]) -> Var<B> {
    let widths: Vec<_> = outputs.iter().map(|y| y.shape().1).collect();
    let terms: Vec<_> = outputs
        .iter()
        .zip(&widths)
        .map(|(y, &width)| {
            let device = graph.device();
            let w = device.upload(testing::values(7 * width, width as u64));
            let w = Var::leaf(device.tensor(w, (7, width)));
            linear(graph, y, &w)
        })
        .collect();
    let sum = add(graph, &terms[0], &terms[1]);
    add(graph, &sum, &terms[2])
}

fn fused<B: Backend>(graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
    let outputs = norm_linears(graph, &v[0], &v[1], &v[2..], EPS);
    joined(graph, &outputs)
}

fn single<B: Backend>(graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
    let normed = rms_norm(graph, &v[0], &v[1], EPS);
    let outputs: Vec<_> = v[2..].iter().map(|w| linear(graph, &normed, w)).collect();
    joined(graph, &outputs)
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn assert_same(fused: testing::Results, single: testing::Results, tolerance: f64) {
    assert_close("output", &fused.0, &as_f64(&single.0), tolerance);
    for (i, (ours, theirs)) in fused.1.iter().zip(&single.1).enumerate() {
        assert_close(&format!("gradient {i}"), ours, &as_f64(theirs), tolerance);
    }
}

#[test]
fn norm_linears_equals_single_ops() {
    for (tokens, width) in [(1, 1), (3, 5), (100, 40), (2100, 8)] {
        let inputs = inputs(tokens, width);
        let (ours, theirs) = (
            testing::run!(&inputs, fused),
            testing::run!(&inputs, single),
        );
        assert_same(ours, theirs, 3e-4);
        // Frozen weights: the same gradient of the input, and no other.
        let mut frozen = inputs.clone();
        for weight in &mut frozen[1..] {
            *weight = Var::constant(weight.tensor().clone());
        }
        let (ours, theirs) = (
            testing::run!(&frozen, fused),
            testing::run!(&frozen, single),
        );
        assert!(ours.1[1..].iter().all(Vec::is_empty));
        assert_same(ours, theirs, 3e-4);
    }
}

#[test]
fn norm_linears_equals_single_ops_for_random_shapes() {
    for seed in 0..25 {
        let [tokens, width] = testing::random_sizes(seed, 300);
        let inputs = inputs(tokens, width);
        let (ours, theirs) = (
            testing::run!(&inputs, fused),
            testing::run!(&inputs, single),
        );
        assert_same(ours, theirs, 3e-4);
    }
}

#[test]
fn linear_add_equals_single_ops() {
    let fixed = [(1, 1, 1), (3, 5, 4), (300, 33, 70)];
    let random = (0..25).map(|seed| {
        let [tokens, features, width] = testing::random_sizes(seed, 300);
        (tokens, features, width)
    });
    for (tokens, features, width) in fixed.into_iter().chain(random) {
        let inputs = [
            leaf((tokens, width), 1),
            leaf((tokens, features), 2),
            leaf((width, features), 3),
        ];
        let ours = testing::run!(&inputs, |g, v| linear_add(g, &v[0], &v[1], &v[2], None));
        let theirs = testing::run!(&inputs, |g, v| {
            let y = linear(g, &v[1], &v[2]);
            add(g, &v[0], &y)
        });
        assert_same(ours, theirs, 1e-4);
    }
}

#[test]
fn bf16_stays_within_its_rounding() {
    let run = |precision| {
        let device = Host::with_precision(precision);
        let mut inputs = inputs(300, 40);
        inputs.push(leaf((40, 33), 9));
        for v in &mut inputs {
            *v = Var::leaf(device.tensor(v.slice().to_vec(), v.shape()));
        }
        let (y, gradients) = testing::run_on(&device, &inputs, |g, v| {
            let outputs = norm_linears(g, &v[0], &v[1], &v[2..5], EPS);
            linear_add(g, &v[0], &outputs[1], &v[5], None)
        });
        let mut all = gradients;
        all.push(y);
        all
    };
    for (ours, exact) in run(Precision::Bf16).iter().zip(run(Precision::F32)) {
        assert_norm_close("in bf16", ours, &as_f64(&exact), 1e-2);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    testing::check_finite_differences!("norm_linears", &inputs(4, 6), 5e-3, fused);
    let key = DropoutKey { rate: 0.3, key: 4 };
    let inputs = [leaf((4, 6), 1), leaf((4, 5), 2), leaf((6, 5), 3)];
    for dropout in [None, Some(key)] {
        testing::check_finite_differences!("linear_add", &inputs, 5e-3, |g, v| {
            linear_add(g, &v[0], &v[1], &v[2], dropout)
        });
    }
}

#[test]
fn linear_add_drops_what_it_adds() {
    let key = Some(DropoutKey { rate: 0.5, key: 4 });
    let inputs = [leaf((90, 6), 1), leaf((90, 5), 2), leaf((6, 5), 3)];
    let (all, _) = testing::run!(&inputs, |g, v| linear_add(g, &v[0], &v[1], &v[2], None));
    let (some, _) = testing::run!(&inputs, |g, v| linear_add(g, &v[0], &v[1], &v[2], key));
    let x = inputs[0].slice();
    let kept = x.iter().zip(&some).filter(|(x, y)| x != y).count() as f64 / 540.0;
    assert!((kept - 0.5).abs() < 0.1, "{kept}");
    for ((x, all), some) in x.iter().zip(&all).zip(&some) {
        assert!(x == some || (2.0 * (all - x) - (some - x)).abs() < 1e-5);
    }
}
