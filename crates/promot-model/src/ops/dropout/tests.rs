//! `dropout`: the share it zeroes, its mask in both directions, and finite differences.

use super::*;
use crate::ops::testing::{self, leaf, leaf_of};

const KEY: DropoutKey = DropoutKey { rate: 0.3, key: 5 };

#[test]
fn zeroes_the_given_share_and_keeps_the_mean() {
    let x = leaf_of(vec![1.0; 100_000], (1000, 100));
    let (y, _) = testing::run(&[x], |g, v| dropout(g, &v[0], Some(KEY)));
    let zeros = y.iter().filter(|&&y| y == 0.0).count() as f64 / 1e5;
    let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / 1e5;
    assert!(
        (zeros - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.01,
        "{zeros} {mean}"
    );
    assert!(y.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
}

#[test]
fn backward_uses_the_mask_of_forward() {
    let (y, gradients) = testing::run(&[leaf((40, 30), 1)], |g, v| dropout(g, &v[0], Some(KEY)));
    let weights = testing::output_weights(y.len());
    for (i, (&y, &dx)) in y.iter().zip(&gradients[0]).enumerate() {
        let expected = if y == 0.0 { 0.0 } else { weights[i] / 0.7 };
        assert!(
            (dx - expected).abs() < 1e-6,
            "{i}: {dx} instead of {expected}"
        );
    }
    testing::check_finite_differences("dropout", &[leaf((3, 5), 2)], 2e-3, |g, v| {
        dropout(g, &v[0], Some(KEY))
    });
}

#[test]
fn keys_and_places_give_other_masks_and_rate_zero_gives_none() {
    let mask = |key: DropoutKey| (0..200).map(|i| key.factor(i) == 0.0).collect::<Vec<_>>();
    assert_ne!(mask(KEY), mask(DropoutKey { key: 6, ..KEY }));
    assert_ne!(mask(KEY.at(0)), mask(KEY.at(1)));
    let x = leaf((2, 2), 3);
    let none = Some(DropoutKey { rate: 0.0, key: 1 });
    let (y, _) = testing::run(std::slice::from_ref(&x), |g, v| dropout(g, &v[0], none));
    assert_eq!(y, x.slice());
}
