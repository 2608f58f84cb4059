//! `feed_forward` against a composition of dfdx ops, in both precisions and with all activations,
//! and finite differences.

use dfdx::shapes::Axis;
use dfdx::tensor::{Cpu, Tensor, Trace as _, WithEmptyTape as _};
use dfdx::tensor_ops::{
    Backward as _, BroadcastTo as _, MeanTo as _, PermuteTo as _, SumTo as _, TryMatMul as _,
};

use super::*;
use crate::backend::Host;
use crate::gemm::Precision;
use crate::ops::testing::{self, assert_close, assert_norm_close, leaf};

/// (T, D, F): one row, sizes off every block, several blocks and chunks.
const SHAPES: [(usize, usize, usize); 4] = [(1, 3, 2), (37, 20, 33), (300, 32, 290), (2500, 8, 40)];

const ACTIVATIONS: [Activation; 3] = [
    Activation::Relu,
    Activation::GatedGelu,
    Activation::GatedSilu,
];

/// x, norm, up, down and, if gated, gate.
fn inputs(
    (tokens, width, hidden): (usize, usize, usize),
    activation: Activation,
) -> Vec<Var<Host>> {
    let mut inputs = vec![
        leaf((tokens, width), 1),
        leaf((1, width), 2),
        leaf((hidden, width), 3),
        leaf((width, hidden), 4),
    ];
    if activation != Activation::Relu {
        inputs.push(leaf((hidden, width), 5));
    }
    inputs
}

fn ours<B: Backend>(
    graph: &mut Graph<B>,
    v: &[Var<B>],
    activation: Activation,
    dropouts: [Option<DropoutKey>; 2],
) -> Var<B> {
    let weights = Weights {
        norm: v[1].clone(),
        gate: v.get(4).cloned(),
        up: v[2].clone(),
        down: v[3].clone(),
        activation,
    };
    feed_forward(graph, &v[0], &weights, 1e-6, dropouts)
}

/// The output of dfdx's composition, and the gradients of `sum(output * weights)`.
fn composed(v: &[Var<Host>], activation: Activation) -> (Vec<f64>, Vec<Vec<f64>>) {
    let shape = v[0].shape();
    let x = v[0].tensor().leaky_trace();
    let square: Tensor<(usize,), f32, Cpu, _> = x.with_empty_tape().square().mean::<_, Axis<1>>();
    let rms = (square + 1e-6).sqrt().broadcast_like::<_, Axis<1>>(&shape);
    let scale: Tensor<(usize,), f32, Cpu, _> = v[1].tensor().leaky_trace().sum::<_, Axis<0>>();
    let normed = x.with_empty_tape() / rms * scale.broadcast_like::<_, Axis<0>>(&shape);
    let up_weight = v[2].tensor().leaky_trace().permute();
    let down_weight = v[3].tensor().leaky_trace().permute();
    let h = match v.get(4) {
        Some(gate) => {
            let up = normed.with_empty_tape().matmul(up_weight);
            let gate = normed.matmul(gate.tensor().leaky_trace().permute());
            match activation {
                Activation::GatedSilu => gate.with_empty_tape().sigmoid() * gate * up,
                _ => gate.fast_gelu() * up,
            }
        }
        None => normed.matmul(up_weight).relu(),
    };
    let y = h.matmul(down_weight) + x;
    let values = y.as_vec().into_iter().map(f64::from).collect();
    let weights = testing::dfdx_tensor(testing::output_weights(shape.0 * shape.1), shape);
    let gradients = (y * weights).sum().backward();
    let of = |input: &Var<Host>| testing::dfdx_gradient(&gradients, input);
    (values, v.iter().map(of).collect())
}

/// The same on a device of its own, so that weights are packed in its precision.
fn moved_to(device: &Host, inputs: &[Var<Host>]) -> Vec<Var<Host>> {
    let moved = |v: &Var<Host>| Var::leaf(device.tensor(v.slice().to_vec(), v.shape()));
    inputs.iter().map(moved).collect()
}

fn random_shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..12).map(|seed| {
        let [tokens, width, hidden] = testing::random_sizes(seed, 300);
        (tokens, width, hidden)
    })
}

#[test]
fn equals_a_dfdx_composition() {
    for shape in SHAPES.into_iter().chain(random_shapes()) {
        for activation in ACTIVATIONS {
            let inputs = inputs(shape, activation);
            let (expected, theirs) = composed(&inputs, activation);
            let (y, gradients) = testing::run!(&inputs, bf16_tolerance(activation), |g, v| {
                ours(g, v, activation, [None; 2])
            });
            assert_norm_close("feed_forward", &y, &expected, 3e-5);
            for (i, (ours, theirs)) in gradients.iter().zip(&theirs).enumerate() {
                assert_norm_close(&format!("{shape:?} gradient {i}"), ours, theirs, 1e-4);
            }
        }
    }
}

#[test]
fn bf16_stays_within_its_rounding() {
    for shape in SHAPES {
        for activation in ACTIVATIONS {
            let inputs = inputs(shape, activation);
            let (expected, theirs) = composed(&inputs, activation);
            let device = Host::with_precision(Precision::Bf16);
            let moved = moved_to(&device, &inputs);
            let (y, gradients) =
                testing::run_on(&device, &moved, |g, v| ours(g, v, activation, [None; 2]));
            assert_norm_close("feed_forward", &y, &expected, 1e-2);
            let tolerance = bf16_tolerance(activation);
            for (i, (ours, theirs)) in gradients.iter().zip(&theirs).enumerate() {
                assert_norm_close(&format!("{shape:?} gradient {i}"), ours, theirs, tolerance);
            }
        }
    }
}

/// How far gradients may be in bf16: rounding moves a few hidden values over the kink of ReLU.
fn bf16_tolerance(activation: Activation) -> f64 {
    if activation == Activation::Relu {
        1e-1
    } else {
        2e-2
    }
}

#[test]
fn gradients_equal_finite_differences_with_dropout() {
    let key = |key| Some(DropoutKey { rate: 0.3, key });
    for activation in ACTIVATIONS {
        let inputs = inputs((5, 6, 7), activation);
        for dropouts in [[None; 2], [key(1), key(2)]] {
            testing::check_finite_differences!("feed_forward", &inputs, 1e-2, |g, v| {
                ours(g, v, activation, dropouts)
            });
        }
    }
}

#[test]
fn frozen_weights_get_no_gradient_and_the_input_the_same() {
    let activation = Activation::GatedGelu;
    let inputs = inputs((70, 8, 300), activation);
    let (_, tuned) = testing::run!(&inputs, |g, v| ours(g, v, activation, [None; 2]));
    let mut frozen: Vec<_> = inputs.clone();
    for weight in &mut frozen[1..] {
        *weight = Var::constant(weight.tensor().clone());
    }
    let (_, gradients) = testing::run!(&frozen, |g, v| ours(g, v, activation, [None; 2]));
    assert_eq!(gradients[0], tuned[0]);
    assert!(gradients[1..].iter().all(Vec::is_empty));
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let activation = Activation::GatedSilu;
    let inputs = inputs((600, 24, 70), activation);
    let dropouts = [None; 2];
    let (all, _) = testing::run!(&inputs, |g, v| ours(g, v, activation, dropouts));
    let mut first = inputs.clone();
    let rows = inputs[0].slice()[..10 * 24].to_vec();
    first[0] = testing::leaf_of(rows, (10, 24));
    let (few, _) = testing::run!(&first, |g, v| ours(g, v, activation, dropouts));
    assert_close(
        "rows",
        &few,
        &all[..240].iter().map(|&y| f64::from(y)).collect::<Vec<_>>(),
        1e-5,
    );
}
