//! `linear` against an f64 loop, dfdx's matmul and finite differences.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, PermuteTo as _, SumTo as _, TryMatMul as _};

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf};

const SHAPES: [(usize, usize, usize); 4] = [(1, 1, 1), (3, 5, 7), (140, 33, 20), (2, 64, 129)];

#[test]
fn forward_equals_an_f64_loop() {
    for (tokens, inner, outer) in SHAPES {
        let (x, w) = (leaf((tokens, inner), 1), leaf((outer, inner), 2));
        let (y, _) = testing::run!(&[x.clone(), w.clone()], |g, v| linear(g, &v[0], &v[1]));
        let mut expected = Vec::new();
        for t in 0..tokens {
            for o in 0..outer {
                let row = &x.slice()[t * inner..][..inner];
                let column = &w.slice()[o * inner..][..inner];
                expected.push(
                    row.iter()
                        .zip(column)
                        .map(|(&a, &b)| f64::from(a) * f64::from(b))
                        .sum(),
                );
            }
        }
        assert_close("linear", &y, &expected, 3e-5);
    }
}

#[test]
fn gradients_equal_those_of_dfdx() {
    for (tokens, inner, outer) in SHAPES {
        let (x, w) = (leaf((tokens, inner), 3), leaf((outer, inner), 4));
        let (_, ours) = testing::run!(&[x.clone(), w.clone()], |g, v| linear(g, &v[0], &v[1]));
        let weights = testing::output_weights(tokens * outer);
        let weights = testing::dfdx_tensor(weights, (tokens, outer));
        let y = x
            .tensor()
            .leaky_trace()
            .matmul(w.tensor().leaky_trace().permute());
        let gradients = (y * weights).sum().backward();
        for (name, ours, tensor) in [("dx", &ours[0], x.tensor()), ("dw", &ours[1], w.tensor())] {
            let theirs: Vec<f64> = gradients
                .get(&**tensor)
                .as_vec()
                .into_iter()
                .map(f64::from)
                .collect();
            assert_close(name, ours, &theirs, 1e-4);
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [leaf((3, 5), 5), leaf((4, 5), 6)];
    testing::check_finite_differences!("linear", &inputs, 2e-3, |g, v| linear(g, &v[0], &v[1]));
}

#[test]
fn a_frozen_weight_gets_no_gradient_and_a_frozen_input_records_nothing() {
    let (x, w) = (
        leaf((3, 5), 7),
        Var::constant(leaf((4, 5), 8).tensor().clone()),
    );
    let (_, gradients) = testing::run!(&[x.clone(), w.clone()], |g, v| linear(g, &v[0], &v[1]));
    assert_eq!((gradients[0].len(), gradients[1].len()), (15, 0));
    let mut graph = Graph::training(&Host::new(), Default::default());
    let frozen = Var::constant(x.tensor().clone());
    assert!(!linear(&mut graph, &frozen, &w).requires_grad());
}
