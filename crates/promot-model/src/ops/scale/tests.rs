//! `scale` against the product itself and finite differences.

use super::*;
use crate::ops::testing::{self, leaf};

#[test]
fn every_value_is_multiplied() {
    for shape in [(1, 1), (3, 7), (0, 4)] {
        let x = leaf(shape, 1);
        let (y, _) = testing::run!(std::slice::from_ref(&x), |g, v| scale(g, &v[0], -1.5));
        let expected: Vec<f32> = x.slice().iter().map(|x| -1.5 * x).collect();
        assert_eq!(y, expected);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    testing::check_finite_differences!("scale", &[leaf((3, 5), 1)], 5e-3, |g, v| {
        scale(g, &v[0], 0.3)
    });
}
