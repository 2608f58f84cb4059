//! `rope` against an f64 loop over pairs, finite differences, and what rotations keep.

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf};

const THETA: f64 = 10_000.0;

/// Positions, heads and columns of a head: one token, none, off every block.
fn cases() -> Vec<(Vec<usize>, usize, usize)> {
    vec![
        (vec![5], 1, 2),
        (vec![], 2, 4),
        (vec![0, 1, 2, 0, 1], 3, 6),
        ((0..150).map(|i| i * 13).collect(), 2, 64),
    ]
}

fn angles<B: Backend>(device: &B, positions: &[usize], d_head: usize) -> Angles<B> {
    Angles::new(device, positions.iter().copied(), d_head, THETA)
}

#[test]
fn equals_an_f64_loop() {
    for (positions, heads, d_head) in cases() {
        let x = leaf((positions.len(), heads * d_head), 1);
        let (y, _) = testing::run!(std::slice::from_ref(&x), |g, v| {
            let angles = angles(g.device(), &positions, d_head);
            rope(g, &v[0], &angles)
        });
        let mut expected = Vec::new();
        for (t, &position) in positions.iter().enumerate() {
            for head in 0..heads {
                let at = |column: usize| {
                    f64::from(x.slice()[(t * heads + head) * d_head + column % d_head])
                };
                for column in 0..d_head {
                    let pair = column % (d_head / 2);
                    let angle = position as f64 * THETA.powf(-2.0 * pair as f64 / d_head as f64);
                    let other = at(column + d_head / 2);
                    let sign = if column < d_head / 2 { -1.0 } else { 1.0 };
                    expected.push(at(column) * angle.cos() + sign * other * angle.sin());
                }
            }
        }
        // An angle of 2000 radians in f32 is off by up to 6e-5.
        assert_close("rope", &y, &expected, 2e-4);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for (positions, heads, d_head) in cases() {
        let x = leaf((positions.len(), heads * d_head), 1);
        testing::check_finite_differences!("rope", &[x], 5e-3, |g, v| {
            let angles = angles(g.device(), &positions, d_head);
            rope(g, &v[0], &angles)
        });
    }
}

#[test]
fn products_depend_on_the_distance_alone() {
    let (q, k) = (leaf((1, 16), 1), leaf((1, 16), 2));
    let product = |q_position: usize, k_position: usize| -> f32 {
        let mut graph = Graph::inference(&Host::new());
        let q = rope(&mut graph, &q, &angles(&Host::new(), &[q_position], 16));
        let k = rope(&mut graph, &k, &angles(&Host::new(), &[k_position], 16));
        q.slice().iter().zip(k.slice()).map(|(q, k)| q * k).sum()
    };
    assert!((product(7, 3) - product(104, 100)).abs() < 1e-4);
    assert!((product(7, 3) - product(7, 4)).abs() > 1e-2);
}
