//! `rms_norm` against an f64 loop, a dfdx composition and finite differences.

use dfdx::shapes::Axis;
use dfdx::tensor::{Trace as _, WithEmptyTape as _};
use dfdx::tensor_ops::{Backward as _, BroadcastTo as _, MeanTo as _, SumTo as _};

use super::*;
use crate::ops::testing::{self, assert_close, leaf};

const EPS: f32 = 1e-6;

#[test]
fn equals_an_f64_loop_and_a_dfdx_composition() {
    let fixed = [(1, 1), (1, 16), (3, 5), (150, 40)];
    let random = (0..20).map(|seed| {
        let [rows, width] = testing::random_sizes(seed, 300);
        (rows, width)
    });
    for (rows, width) in fixed.into_iter().chain(random) {
        let inputs = [leaf((rows, width), 1), leaf((1, width), 2)];
        let (y, ours) = testing::run!(&inputs, |g, v| rms_norm(g, &v[0], &v[1], EPS));

        let mut expected = Vec::new();
        for row in inputs[0].slice().chunks_exact(width) {
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let rms = (squares / width as f64 + f64::from(EPS)).sqrt();
            let w = inputs[1].slice();
            expected.extend(
                row.iter()
                    .zip(w)
                    .map(|(&x, &w)| f64::from(x) / rms * f64::from(w)),
            );
        }
        assert_close("rms_norm", &y, &expected, 1e-5);

        let weights = testing::dfdx_tensor(testing::output_weights(y.len()), (rows, width));
        let x = inputs[0].tensor().leaky_trace();
        let square: dfdx::tensor::Tensor<(usize,), f32, dfdx::tensor::Cpu, _> =
            x.with_empty_tape().square().mean::<_, Axis<1>>();
        let rms = (square + EPS)
            .sqrt()
            .broadcast_like::<_, Axis<1>>(&(rows, width));
        let w = inputs[1].tensor().leaky_trace();
        let w: dfdx::tensor::Tensor<(usize,), f32, dfdx::tensor::Cpu, _> = w.sum::<_, Axis<0>>();
        let loss = (x / rms * w.broadcast_like::<_, Axis<0>>(&(rows, width)) * weights).sum();
        let gradients = loss.backward();
        for (i, input) in inputs.iter().enumerate() {
            assert_close(
                "gradient",
                &ours[i],
                &testing::dfdx_gradient(&gradients, input),
                1e-4,
            );
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [leaf((4, 6), 3), leaf((1, 6), 4)];
    testing::check_finite_differences!("rms_norm", &inputs, 3e-3, |g, v| {
        rms_norm(g, &v[0], &v[1], EPS)
    });
}
