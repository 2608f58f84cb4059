//! `select_rows` against copies by hand and finite differences.

use super::*;
use crate::ops::testing::{self, leaf};

#[test]
fn rows_are_copied_in_the_order_asked_for() {
    let x = leaf((5, 3), 1);
    for rows in [vec![4, 0, 4], vec![2], vec![]] {
        let (y, _) = testing::run!(std::slice::from_ref(&x), |g, v| {
            select_rows(g, &v[0], rows.clone().into())
        });
        let expected: Vec<f32> = rows
            .iter()
            .flat_map(|&row| x.slice()[row as usize * 3..][..3].to_vec())
            .collect();
        assert_eq!(y, expected);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    testing::check_finite_differences!("select_rows", &[leaf((5, 3), 1)], 5e-3, |g, v| {
        select_rows(g, &v[0], vec![1, 3, 3, 0].into())
    });
}

#[test]
#[should_panic(expected = "rows below 5")]
fn a_row_that_is_not_there_is_refused() {
    testing::run!(&[leaf((5, 3), 1)], |g, v| {
        select_rows(g, &v[0], vec![5].into())
    });
}
