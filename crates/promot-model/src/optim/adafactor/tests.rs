//! Adafactor against an f64 transcription of the published algorithm, 20 steps, on both devices.

use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::backend::gpu::emulated::{SCHEDULES, emulated};
use crate::gemm::Precision;
use crate::optim::{Kernels, Optimizer};

fn normal(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut stream = promot_core::Stream::seed_from_u64(seed);
    (0..len)
        .map(|_| stream.random_range(-1.0f32..1.0) * scale)
        .collect()
}

/// Algorithms 4 to 6 of the paper with T5X's choices, in f64 and one element at a time.
struct Reference {
    rows: Vec<f64>,
    columns: Vec<f64>,
    all: Vec<f64>,
}

impl Reference {
    fn step(
        &mut self,
        x: &mut [f64],
        g: &[f64],
        (n, m): Shape,
        o: &AdafactorOptions,
        lr: f64,
        t: i32,
    ) {
        let beta = 1.0 - f64::from(t).powf(-f64::from(o.decay_rate));
        let factored = o.factored && n.min(m) >= o.min_dim_size_to_factor;
        let square = |i: usize, j: usize| g[i * m + j].powi(2) + 1e-30;
        let mut u = vec![0.0; n * m];
        if factored {
            for i in 0..n {
                let mean = (0..m).map(|j| square(i, j)).sum::<f64>() / m as f64;
                self.rows[i] = beta * self.rows[i] + (1.0 - beta) * mean;
            }
            for j in 0..m {
                let mean = (0..n).map(|i| square(i, j)).sum::<f64>() / n as f64;
                self.columns[j] = beta * self.columns[j] + (1.0 - beta) * mean;
            }
            let norm = self.rows.iter().sum::<f64>() / n as f64;
            for i in 0..n {
                for j in 0..m {
                    u[i * m + j] = g[i * m + j] / (self.rows[i] * self.columns[j] / norm).sqrt();
                }
            }
        } else {
            for k in 0..n * m {
                self.all[k] = beta * self.all[k] + (1.0 - beta) * (g[k].powi(2) + 1e-30);
                u[k] = g[k] / self.all[k].sqrt();
            }
        }
        let rms = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
        let clip = (rms(&u) / f64::from(o.clipping_threshold)).max(1.0);
        let scale = if o.multiply_by_parameter_scale {
            rms(x).max(1e-3)
        } else {
            1.0
        };
        for k in 0..n * m {
            x[k] -= lr * scale * u[k] / clip;
        }
    }
}

const FIRST: Step = Step {
    number: 1,
    learning_rate: 0.1,
    scale: 0.5,
};

/// One update as training does it.
fn updated<D: Kernels>(
    device: &D,
    options: &AdafactorOptions,
    step: Step,
    values: &[f32],
    gradient: &[f32],
    shape: Shape,
    state: &mut D::State,
) -> Vec<f32> {
    let optimizer = Optimizer::Adafactor(*options);
    let [values, gradient] = [values, gradient].map(|x| device.upload(x.to_vec()));
    let (squares, _) = device.squares(&optimizer, &[(gradient.as_ref(), shape)]);
    let update = Update {
        values: values.as_ref(),
        gradient,
        squares: &squares[0],
        shape,
    };
    let states = std::slice::from_mut(state);
    let updated = device.update(&optimizer, step, vec![update], states);
    let updated = device.download(updated[0].as_ref());
    device.check().unwrap();
    updated
}

#[test]
fn follows_the_reference_for_20_steps() {
    assert_follows_the_reference(&Host::new());
    for schedule in SCHEDULES {
        assert_follows_the_reference(&emulated(Precision::F32, schedule));
    }
}

fn assert_follows_the_reference<D: Kernels>(device: &D) {
    let small = AdafactorOptions {
        min_dim_size_to_factor: 4,
        ..Default::default()
    };
    let prompt = AdafactorOptions {
        factored: false,
        multiply_by_parameter_scale: false,
        ..small
    };
    let default = AdafactorOptions::default();
    for (options, shape, lr, clip) in [
        (small, (6, 9), 0.01, 1.0),
        (small, (6, 9), 0.01, 0.25),
        (small, (70, 40), 0.01, 1.0),
        (prompt, (6, 9), 0.3, 1.0),
        (prompt, (6, 9), 0.3, 0.25),
        (default, (6, 9), 0.01, 1.0),
        (default, (128, 130), 0.001, 1.0),
        (default, (300, 400), 0.001, 0.5),
        (default, (1, 40), 0.05, 1.0),
    ] {
        let len = shape.0 * shape.1;
        let mut ours = normal(len, 1, 0.5);
        let mut theirs: Vec<f64> = ours.iter().map(|&x| f64::from(x)).collect();
        let mut state = D::State::default();
        let mut reference = Reference {
            rows: vec![0.0; shape.0],
            columns: vec![0.0; shape.1],
            all: vec![0.0; len],
        };
        for t in 1..=20 {
            // Gradients of very different sizes, so that clipping acts on some steps only.
            let mut gradient = normal(len, 100 + t, if t % 3 == 0 { 10.0 } else { 0.1 });
            // Rows that nothing is known of, as those of an embedding table's rare tokens.
            for row in gradient.chunks_mut(shape.1).skip(t as usize % 4).step_by(7) {
                row.fill(0.0);
            }
            let step = Step {
                number: t,
                learning_rate: lr,
                scale: clip,
            };
            ours = updated(device, &options, step, &ours, &gradient, shape, &mut state);
            let gradient: Vec<f64> = gradient
                .iter()
                .map(|&g| f64::from(clip) * f64::from(g))
                .collect();
            reference.step(
                &mut theirs,
                &gradient,
                shape,
                &options,
                f64::from(lr),
                t as i32,
            );
            for (i, (&a, &b)) in ours.iter().zip(&theirs).enumerate() {
                let error = (f64::from(a) - b).abs();
                assert!(
                    error < 1e-5 * (1.0 + b.abs()),
                    "{shape:?} step {t} at {i}: {a} and {b}"
                );
            }
        }
    }
}

#[test]
fn a_zero_gradient_moves_nothing() {
    assert_zeros_move_nothing(&Host::new());
    assert_zeros_move_nothing(&emulated(Precision::F32, SCHEDULES[1]));
}

fn assert_zeros_move_nothing<D: Kernels>(device: &D) {
    let values = normal(12, 2, 1.0);
    for min_dim_size_to_factor in [1, 128] {
        let options = AdafactorOptions {
            min_dim_size_to_factor,
            ..Default::default()
        };
        let (shape, mut state) = ((3, 4), D::State::default());
        let zeros = [0.0; 12];
        let after = updated(device, &options, FIRST, &values, &zeros, shape, &mut state);
        assert_eq!(after, values);
    }
}

#[test]
fn one_thread_or_two_give_the_same_bits() {
    let shape = (700, 300);
    let values = normal(shape.0 * shape.1, 3, 1.0);
    let gradient = normal(values.len(), 4, 1.0);
    for factored in [true, false] {
        let options = AdafactorOptions {
            factored,
            ..Default::default()
        };
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let mut state = ParameterState::default();
                let device = Host::new();
                let after = updated(
                    &device, &options, FIRST, &values, &gradient, shape, &mut state,
                );
                (after, state)
            })
        };
        let one = on(1);
        assert_eq!(one, on(2));
        assert_eq!(one, on(5));
    }
}
