//! Adafactor against an f64 transcription of the published algorithm, 20 steps.

use rand::{Rng as _, SeedableRng as _};

use super::*;

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

#[test]
fn follows_the_reference_for_20_steps() {
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
    for (options, shape, lr) in [
        (small, (6, 9), 0.01),
        (prompt, (6, 9), 0.3),
        (default, (6, 9), 0.01),
        (default, (128, 130), 0.001),
        (default, (1, 40), 0.05),
    ] {
        let len = shape.0 * shape.1;
        let mut ours = normal(len, 1, 0.5);
        let mut theirs: Vec<f64> = ours.iter().map(|&x| f64::from(x)).collect();
        let mut state = ParameterState::default();
        let mut reference = Reference {
            rows: vec![0.0; shape.0],
            columns: vec![0.0; shape.1],
            all: vec![0.0; len],
        };
        for step in 1..=20 {
            // Gradients of very different sizes, so that clipping acts on some steps only.
            let gradient = normal(len, 100 + step, if step % 3 == 0 { 10.0 } else { 0.1 });
            let one = Update {
                values: ours.as_slice(),
                gradient: gradient.as_slice(),
                shape,
                learning_rate: lr,
                step,
            };
            ours = update(&options, &one, &mut state);
            let gradient: Vec<f64> = gradient.iter().map(|&g| f64::from(g)).collect();
            reference.step(
                &mut theirs,
                &gradient,
                shape,
                &options,
                f64::from(lr),
                step as i32,
            );
            for (i, (&a, &b)) in ours.iter().zip(&theirs).enumerate() {
                let error = (f64::from(a) - b).abs();
                assert!(
                    error < 1e-5 * (1.0 + b.abs()),
                    "{shape:?} step {step} at {i}: {a} and {b}"
                );
            }
        }
    }
}

#[test]
fn a_zero_gradient_moves_nothing() {
    let values = normal(12, 2, 1.0);
    let mut state = ParameterState::default();
    let one = Update {
        values: values.as_slice(),
        gradient: [0.0; 12].as_slice(),
        shape: (3, 4),
        learning_rate: 0.1,
        step: 1,
    };
    let after = update(&Default::default(), &one, &mut state);
    assert_eq!(after, values);
}
