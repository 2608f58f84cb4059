//! `add` against dfdx's sum and finite differences.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, SumTo as _};

use super::*;
use crate::ops::testing::{self, assert_close, leaf};

#[test]
fn equals_dfdx_forward_and_backward() {
    for shape in [(1, 1), (7, 5), (130, 200)] {
        let (a, b) = (leaf(shape, 1), leaf(shape, 2));
        let (y, ours) = testing::run!(&[a.clone(), b.clone()], |g, v| add(g, &v[0], &v[1]));
        let weights = testing::dfdx_tensor(testing::output_weights(y.len()), shape);
        let theirs = a.tensor().leaky_trace() + b.tensor().leaky_trace();
        let values: Vec<f64> = theirs.as_vec().into_iter().map(f64::from).collect();
        assert_close("add", &y, &values, 1e-6);
        let gradients = (theirs * weights).sum().backward();
        for (ours, input) in ours.iter().zip([&a, &b]) {
            let theirs: Vec<f64> = testing::dfdx_gradient(&gradients, input);
            assert_close("gradient of add", ours, &theirs, 1e-6);
        }
    }
}

#[test]
fn gradients_equal_finite_differences_also_when_both_sides_are_one_variable() {
    let inputs = [leaf((3, 4), 3), leaf((3, 4), 4)];
    testing::check_finite_differences!("add", &inputs, 2e-3, |g, v| add(g, &v[0], &v[1]));
    testing::check_finite_differences!("x + x", &inputs[..1], 2e-3, |g, v| add(g, &v[0], &v[0]));
}
