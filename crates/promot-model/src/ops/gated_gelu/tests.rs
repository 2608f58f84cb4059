//! `gated_gelu` against an f64 loop, dfdx and finite differences.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, SumTo as _};

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf};

fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

#[test]
fn equals_an_f64_loop_and_dfdx() {
    for shape in [(1, 1), (9, 31), (200, 130)] {
        let inputs = [leaf(shape, 1), leaf(shape, 2)];
        let (y, ours) = testing::run(&inputs, |g, v| gated_gelu(g, &v[0], &v[1]));
        let pairs = inputs[0].slice().iter().zip(inputs[1].slice());
        let expected: Vec<f64> = pairs
            .map(|(&g, &u)| gelu(g.into()) * f64::from(u))
            .collect();
        assert_close("gated_gelu", &y, &expected, 1e-6);
        let weights = Host::new().tensor(testing::output_weights(y.len()), shape);
        let gate = inputs[0].tensor().leaky_trace().fast_gelu();
        let gradients = (gate * inputs[1].tensor().clone() * weights)
            .sum()
            .backward();
        let theirs = testing::dfdx_gradient(&gradients, &inputs[0]);
        assert_close("gradient of the gate", &ours[0], &theirs, 1e-5);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [leaf((3, 7), 3), leaf((3, 7), 4)];
    testing::check_finite_differences("gated_gelu", &inputs, 2e-3, |g, v| {
        gated_gelu(g, &v[0], &v[1])
    });
}

#[test]
fn a_frozen_side_leaves_the_other_gradient_as_it_is() {
    let inputs = [leaf((5, 9), 5), leaf((5, 9), 6)];
    let op = |g: &mut Graph<_>, v: &[Var<_>]| gated_gelu(g, &v[0], &v[1]);
    let (_, both) = testing::run(&inputs, op);
    let frozen = |i: usize| Var::constant(inputs[i].tensor().clone());
    let (_, gate_only) = testing::run(&[inputs[0].clone(), frozen(1)], op);
    let (_, up_only) = testing::run(&[frozen(0), inputs[1].clone()], op);
    assert_eq!((&both[0], &both[1]), (&gate_only[0], &up_only[1]));
}
