//! Adam with decoupled weight decay (Loshchilov & Hutter 2019).
//!
//! The arithmetic is that of `dfdx::optim::Adam` with `WeightDecay::Decoupled`, which the tests
//! compare with step by step. It is not called itself because its moments are private: they could
//! not be saved, and a resumed run would not be the undisturbed one.

use serde::{Deserialize, Serialize};

use super::{ParameterState, Update};

/// Constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWOptions {
    /// Decay of the mean gradient.
    pub beta1: f32,
    /// Decay of the mean squared gradient.
    pub beta2: f32,
    /// Added to the root of the mean squared gradient.
    pub epsilon: f32,
    /// Share of a parameter that is taken away per unit of learning rate.
    pub weight_decay: f32,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// New values of a parameter; `step` counts from 1.
pub(super) fn update(
    options: &AdamWOptions,
    update: &Update<'_, [f32]>,
    state: &mut ParameterState,
) -> Vec<f32> {
    let Update {
        values,
        gradient,
        learning_rate,
        step,
        ..
    } = *update;
    if state.vectors.is_empty() {
        state.vectors = vec![vec![0.0; values.len()]; 2];
    }
    let [first, second] = state.vectors.as_mut_slice() else {
        panic!("two moments a parameter");
    };
    let correction = |beta: f32| (1.0 - f64::from(beta).powf(step as f64)) as f32;
    let (first_correction, second_correction) =
        (correction(options.beta1), correction(options.beta2));
    let mut new = Vec::with_capacity(values.len());
    for (((&value, &g), m), v) in values.iter().zip(gradient).zip(first).zip(second) {
        *m = options.beta1 * *m + (1.0 - options.beta1) * g;
        *v = options.beta2 * *v + (1.0 - options.beta2) * g * g;
        let step = (*m / first_correction) / ((*v / second_correction).sqrt() + options.epsilon);
        new.push(value - learning_rate * (step + options.weight_decay * value));
    }
    new
}

#[cfg(test)]
mod tests {
    use dfdx::optim::{Adam, AdamConfig, Optimizer as _, WeightDecay};
    use dfdx::shapes::Rank1;
    use dfdx::tensor::{AsArray as _, Cpu, Tensor, TensorFrom as _, Trace as _};
    use dfdx::tensor_ops::{Backward as _, MeanTo as _};

    use super::*;

    #[test]
    fn equals_dfdx_step_by_step() {
        let cpu = Cpu::default();
        let start = [-0.5f32, -0.25, 0.1, 0.6, 1.0];
        let options = AdamWOptions {
            weight_decay: 0.1,
            ..Default::default()
        };
        let mut theirs: Tensor<Rank1<5>, f32, Cpu> = cpu.tensor(start);
        let config = AdamConfig {
            lr: 1e-2,
            weight_decay: Some(WeightDecay::Decoupled(0.1)),
            ..Default::default()
        };
        let mut dfdx = Adam::new(&theirs, config);
        let mut ours = start.to_vec();
        let mut state = ParameterState::default();
        for step in 1..=20 {
            let gradients = theirs.leaky_trace().exp().square().mean().backward();
            let gradient = gradients.get(&theirs).array();
            let one = Update {
                values: ours.as_slice(),
                gradient: gradient.as_slice(),
                shape: (1, 5),
                learning_rate: 1e-2,
                step,
            };
            ours = update(&options, &one, &mut state);
            dfdx.update(&mut theirs, &gradients).unwrap();
            for (a, b) in ours.iter().zip(theirs.array()) {
                assert!((a - b).abs() < 1e-6, "step {step}: {a} and {b}");
            }
        }
    }
}
