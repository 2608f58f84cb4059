//! `dropout` and `row_dropout`: the share they zero, their masks in both directions, and finite
//! differences.

use super::*;
use crate::ops::testing::{self, leaf, leaf_of};

const KEY: DropoutKey = DropoutKey { rate: 0.3, key: 5 };

#[test]
fn zeroes_the_given_share_and_keeps_the_mean() {
    let x = leaf_of(vec![1.0; 100_000], (1000, 100));
    let (y, _) = testing::run!(&[x], |g, v| dropout(g, &v[0], Some(KEY)));
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
    let (y, gradients) = testing::run!(&[leaf((40, 30), 1)], |g, v| dropout(g, &v[0], Some(KEY)));
    let weights = testing::output_weights(y.len());
    for (i, (&y, &dx)) in y.iter().zip(&gradients[0]).enumerate() {
        let expected = if y == 0.0 { 0.0 } else { weights[i] / 0.7 };
        assert!(
            (dx - expected).abs() < 1e-6,
            "{i}: {dx} instead of {expected}"
        );
    }
    testing::check_finite_differences!("dropout", &[leaf((3, 5), 2)], 2e-3, |g, v| {
        dropout(g, &v[0], Some(KEY))
    });
}

#[test]
fn rows_are_zeroed_or_scaled_as_a_whole() {
    let x = leaf_of(vec![1.0; 30_000], (10_000, 3));
    let (y, _) = testing::run!(&[x], |g, v| row_dropout(g, &v[0], Some(KEY)));
    let mut zeroed = 0.0;
    for row in y.chunks(3) {
        assert!(row.iter().all(|value| value == &row[0]), "{row:?}");
        assert!(row[0] == 0.0 || (row[0] - 1.0 / 0.7).abs() < 1e-6);
        zeroed += f64::from(u8::from(row[0] == 0.0));
    }
    assert!((zeroed / 1e4 - 0.3).abs() < 0.02, "{zeroed}");
    testing::check_finite_differences!("row dropout", &[leaf((9, 4), 2)], 2e-3, |g, v| {
        row_dropout(g, &v[0], Some(KEY))
    });
    let x = leaf((2, 3), 3);
    let (y, _) = testing::run!(std::slice::from_ref(&x), |g, v| row_dropout(g, &v[0], None));
    assert_eq!(y, x.slice());
}

#[test]
fn keys_and_places_give_other_masks_and_rate_zero_gives_none() {
    let mask = |key: DropoutKey| {
        let zeroed = |i| key.mask().factor(i) == 0.0;
        (0..200).map(zeroed).collect::<Vec<_>>()
    };
    assert_ne!(mask(KEY), mask(DropoutKey { key: 6, ..KEY }));
    assert_ne!(mask(KEY.at(0)), mask(KEY.at(1)));
    let x = leaf((2, 2), 3);
    let none = Some(DropoutKey { rate: 0.0, key: 1 });
    let (y, _) = testing::run!(std::slice::from_ref(&x), |g, v| dropout(g, &v[0], none));
    assert_eq!(y, x.slice());
}

#[test]
fn masks_of_neighbours_in_key_and_position_are_independent() {
    // 50 keys times 2000 positions: the share of equal choices of two independent masks is
    // 0.3^2 + 0.7^2 = 0.58, with a standard deviation of 0.0016.
    let zeroed = |key: u64, position: u32| {
        let key = DropoutKey { key, ..KEY };
        key.mask().factor(position) == 0.0
    };
    for (by_key, by_position) in [(1, 0), (0, 1), (1 << 32, 0), (0, 16), (1, 1), (2, 1024)] {
        let equal = (0..50u64)
            .flat_map(|key| (0..2000u32).map(move |position| (key, position)))
            .filter(|&(key, position)| {
                zeroed(key, position) == zeroed(key + by_key, position + by_position)
            });
        let share = equal.count() as f64 / 1e5;
        assert!(
            (share - 0.58).abs() < 0.008,
            "{by_key} {by_position}: {share}"
        );
    }
}
