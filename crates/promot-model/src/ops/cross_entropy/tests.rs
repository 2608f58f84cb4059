//! `cross_entropy` against an f64 loop, dfdx and finite differences, across chunk borders.

use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, PermuteTo as _, TryMatMul as _};

use super::*;
use crate::backend::gpu::emulated::{SCHEDULES, emulated};
use crate::backend::{Gpu, Host};
use crate::gemm::Precision;
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
                let (y, _) = testing::run_on_host(&inputs, |g, v| {
                    cross_entropy(g, &v[0], &v[1], &targets, smoothing, scale)
                });
                // The emulator is slow: of the large shapes one setting, the others of the small.
                if scale != 1.0 || tokens * width * vocab_size < 50_000 {
                    testing::run!(&inputs, |g, v| {
                        cross_entropy(g, &v[0], &v[1], &targets, smoothing, scale)
                    });
                }
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
    let (_, ours) = testing::run!(&inputs, |g, v| {
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
        testing::check_finite_differences!("cross_entropy", &inputs, 5e-3, |g, v| {
            cross_entropy(g, &v[0], &v[1], &targets, smoothing, 0.7)
        });
        let run = |inputs: &[Var<Host>]| {
            testing::run!(inputs, |g, v| {
                cross_entropy(g, &v[0], &v[1], &targets, smoothing, 0.7)
            })
        };
        // A frozen head, a frozen input: the other gradient is the same.
        let (_, both) = run(&inputs);
        let frozen = |i: usize| Var::constant(inputs[i].tensor().clone());
        let (_, hidden_only) = run(&[inputs[0].clone(), frozen(1)]);
        let (_, head_only) = run(&[frozen(0), inputs[1].clone()]);
        assert_eq!((&both[0], &both[1]), (&hidden_only[0], &head_only[1]));
    }
}

/// Loss, log-sum-exps, and what is added to gradients that are not zero before.
type Pass = (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>);

/// The head as a device has it.
fn head_of<D: Device>(device: &D, values: &[f32], problem: &Problem) -> D::Tensor {
    let shape = (problem.vocab_size, problem.width);
    device.tensor(device.upload(values.to_vec()), shape)
}

fn host_pass(hidden: &[f32], head: &[f32], seed: f32, problem: &Problem) -> Pass {
    let host = Host::new();
    let (mut dhidden, mut dhead) = (vec![0.5; hidden.len()], vec![-0.5; head.len()]);
    let head = &head_of(&host, head, problem);
    let (loss, log_sum_exp) = host.cross_entropy(hidden, head, problem);
    let outputs = (Some(&mut dhidden[..]), Some(&mut dhead[..]));
    let (seed, saved) = (&[seed], &log_sum_exp);
    host.cross_entropy_backward(outputs.0, outputs.1, seed, saved, hidden, head, problem);
    (loss, log_sum_exp, dhidden, dhead)
}

fn gpu_pass(
    gpu: &Gpu,
    hidden: &[f32],
    head: &[f32],
    seed: f32,
    problem: &Problem,
    chunk: usize,
) -> Pass {
    let [mut dhidden, mut dhead] =
        [(0.5, hidden), (-0.5, head)].map(|(value, of)| gpu.upload(vec![value; of.len()]));
    let (hidden, seed) = (gpu.upload(hidden.to_vec()), gpu.upload(vec![seed]));
    let head = head_of(gpu, head, problem);
    let mut head = cuda::Head::new(gpu, hidden.as_ref(), &head, problem);
    head.chunk = chunk;
    let (loss, log_sum_exp) = head.loss();
    let outputs = (Some(dhidden.as_mut()), Some(dhead.as_mut()));
    head.backward(outputs.0, outputs.1, seed.as_ref(), log_sum_exp.as_ref());
    let [loss, log_sum_exp, dhidden, dhead] =
        [loss, log_sum_exp, dhidden, dhead].map(|buffer| gpu.download(buffer.as_ref()));
    gpu.check().unwrap();
    (loss, log_sum_exp, dhidden, dhead)
}

/// The second device takes far more classes at a time than tests have: here it takes fewer. Logits are
/// so large that their exponentials have no number.
#[test]
fn any_chunks_of_the_vocabulary_give_the_same() {
    let (tokens, width, vocab_size) = (5, 3, 700);
    let mut hidden = testing::values(tokens * width, 8);
    hidden.iter_mut().for_each(|x| *x *= 200.0);
    let head = testing::values(vocab_size * width, 9);
    let problem = Problem {
        targets: vec![0, 255, 300, 699, 256].into(),
        width,
        vocab_size,
        logit_scale: 0.9,
        smoothing: LabelSmoothing::t5x(0.1),
    };
    let expected = host_pass(&hidden, &head, 2.0, &problem);
    for chunk in [1, 256, 350, 699, 700, 1000] {
        // One class at a time is many launches.
        let schedules = if chunk == 1 {
            &SCHEDULES[..1]
        } else {
            &SCHEDULES
        };
        for &schedule in schedules {
            let gpu = emulated(Precision::F32, schedule);
            let actual = gpu_pass(&gpu, &hidden, &head, 2.0, &problem, chunk);
            for (name, actual, expected) in [
                ("loss", &actual.0, &expected.0),
                ("log-sum-exp", &actual.1, &expected.1),
                ("dhidden", &actual.2, &expected.2),
                ("dhead", &actual.3, &expected.3),
            ] {
                let expected: Vec<f64> = expected.iter().map(|&x| x.into()).collect();
                assert_close(
                    &format!("{name}, chunks of {chunk}"),
                    actual,
                    &expected,
                    2e-5,
                );
            }
        }
    }
}

#[test]
fn a_logit_that_is_no_number_shows_in_the_loss() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut hidden = testing::values(4, 1);
        hidden[3] = value;
        let head = testing::values(600, 2);
        let problem = Problem {
            targets: vec![3, 4].into(),
            width: 2,
            vocab_size: 300,
            logit_scale: 1.0,
            smoothing: LabelSmoothing::NONE,
        };
        let gpu = emulated(Precision::F32, SCHEDULES[0]);
        for loss in [
            host_pass(&hidden, &head, 1.0, &problem).0,
            gpu_pass(&gpu, &hidden, &head, 1.0, &problem, 256).0,
        ] {
            assert!(!loss[0].is_finite(), "{value}: {loss:?}");
        }
    }
}
