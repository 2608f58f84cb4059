//! `relu` against an f64 loop, dfdx and finite differences.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, SumTo as _};

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf, leaf_of};

#[test]
fn equals_an_f64_loop_and_dfdx() {
    let x = leaf((33, 17), 1);
    let (y, ours) = testing::run(std::slice::from_ref(&x), |g, v| relu(g, &v[0]));
    let expected: Vec<f64> = x.slice().iter().map(|&x| f64::from(x).max(0.0)).collect();
    assert_close("relu", &y, &expected, 1e-6);
    let weights = Host::new().tensor(testing::output_weights(y.len()), (33, 17));
    let gradients = (x.tensor().leaky_trace().relu() * weights).sum().backward();
    assert_close(
        "gradient of relu",
        &ours[0],
        &testing::dfdx_gradient(&gradients, &x),
        1e-6,
    );
}

#[test]
fn gradient_equals_finite_differences_away_from_zero() {
    let x = leaf_of(vec![-1.0, -0.5, -0.1, 0.1, 0.5, 1.0], (2, 3));
    testing::check_finite_differences("relu", &[x], 2e-3, |g, v| relu(g, &v[0]));
}
