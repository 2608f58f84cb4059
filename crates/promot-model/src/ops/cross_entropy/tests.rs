//! `cross_entropy` against an f64 loop, dfdx and finite differences, across chunk borders.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, PermuteTo as _, TryMatMul as _};

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf};

fn targets(tokens: usize, vocab_size: usize) -> Vec<u32> {
    (0..tokens)
        .map(|t| ((t * 7 + vocab_size - 1) % vocab_size) as u32)
        .collect()
}

fn reference(
    hidden: &Var<Host>,
    head: &Var<Host>,
    targets: &[u32],
    smoothing: LabelSmoothing,
    scale: f64,
) -> f64 {
    let (vocab_size, width) = head.shape();
    let epsilon = f64::from(smoothing.epsilon);
    let mut total = 0.0;
    for (row, &target) in hidden.slice().chunks_exact(width).zip(targets) {
        let logits: Vec<f64> = head
            .slice()
            .chunks_exact(width)
            .map(|class| {
                scale
                    * row
                        .iter()
                        .zip(class)
                        .map(|(&a, &b)| f64::from(a) * f64::from(b))
                        .sum::<f64>()
            })
            .collect();
        let lse = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        for (class, logit) in logits.iter().enumerate() {
            let (hot, share) = match smoothing.convention {
                SmoothingConvention::OtherClasses => {
                    (1.0 - epsilon, epsilon / (vocab_size - 1) as f64)
                }
                SmoothingConvention::AllClasses => (
                    1.0 - epsilon + epsilon / vocab_size as f64,
                    epsilon / vocab_size as f64,
                ),
            };
            let weight = if class == target as usize { hot } else { share };
            total += weight * (lse - logit);
            if smoothing.convention == SmoothingConvention::OtherClasses && weight > 0.0 {
                total += weight * weight.ln();
            }
        }
    }
    total / targets.len() as f64
}

#[test]
fn equals_an_f64_loop() {
    // 4100 classes: two full chunks and a rest.
    let fixed = [(1, 3, 2), (5, 8, 40), (70, 4, 4100)];
    let random = (0..12).map(|seed| {
        let [tokens, width, classes] = testing::random_sizes(seed, 300);
        (tokens, width, 7 * classes + 1)
    });
    for (tokens, width, vocab_size) in fixed.into_iter().chain(random) {
        let inputs = [leaf((tokens, width), 1), leaf((vocab_size, width), 2)];
        let targets = targets(tokens, vocab_size);
        for convention in [
            SmoothingConvention::OtherClasses,
            SmoothingConvention::AllClasses,
        ] {
            for (epsilon, scale) in [(0.0, 1.0), (0.1, 1.0), (0.1, 0.25)] {
                let smoothing = LabelSmoothing {
                    epsilon,
                    convention,
                };
                let (y, _) = testing::run(&inputs, |g, v| {
                    cross_entropy(g, &v[0], &v[1], &targets, smoothing, scale)
                });
                let expected = reference(&inputs[0], &inputs[1], &targets, smoothing, scale.into());
                assert_close("loss", &y, &[expected], 2e-6);
            }
        }
    }
}

#[test]
fn gradients_equal_those_of_dfdx() {
    let (tokens, width, vocab_size) = (9, 6, 2100);
    let inputs = [leaf((tokens, width), 3), leaf((vocab_size, width), 4)];
    let targets = targets(tokens, vocab_size);
    let (_, ours) = testing::run(&inputs, |g, v| {
        cross_entropy(g, &v[0], &v[1], &targets, LabelSmoothing::NONE, 1.0)
    });
    let mut one_hot = vec![0.0; tokens * vocab_size];
    for (row, &target) in targets.iter().enumerate() {
        one_hot[row * vocab_size + target as usize] = testing::output_weights(1)[0];
    }
    let one_hot = testing::dfdx_tensor(one_hot, (tokens, vocab_size));
    let logits = inputs[0]
        .tensor()
        .leaky_trace()
        .matmul(inputs[1].tensor().leaky_trace().permute());
    let gradients = dfdx::losses::cross_entropy_with_logits_loss(logits, one_hot).backward();
    for (i, input) in inputs.iter().enumerate() {
        assert_close(
            "gradient",
            &ours[i],
            &testing::dfdx_gradient(&gradients, input),
            1e-5,
        );
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [leaf((3, 4), 5), leaf((7, 4), 6)];
    let targets = targets(3, 7);
    for convention in [
        SmoothingConvention::OtherClasses,
        SmoothingConvention::AllClasses,
    ] {
        let smoothing = LabelSmoothing {
            epsilon: 0.2,
            convention,
        };
        let op = |g: &mut Graph<_>, v: &[Var<_>]| {
            cross_entropy(g, &v[0], &v[1], &targets, smoothing, 0.7)
        };
        testing::check_finite_differences("cross_entropy", &inputs, 5e-3, op);
        // A frozen head, a frozen input: the other gradient is the same.
        let (_, both) = testing::run(&inputs, op);
        let frozen = |i: usize| Var::constant(inputs[i].tensor().clone());
        let (_, hidden_only) = testing::run(&[inputs[0].clone(), frozen(1)], op);
        let (_, head_only) = testing::run(&[frozen(0), inputs[1].clone()], op);
        assert_eq!((&both[0], &both[1]), (&hidden_only[0], &head_only[1]));
    }
}
