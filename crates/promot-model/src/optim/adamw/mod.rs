//! Adam with decoupled weight decay (Loshchilov & Hutter 2019).
//!
//! The arithmetic is that of `dfdx::optim::Adam` with `WeightDecay::Decoupled`, which the tests
//! compare with step by step. It is not called itself because its moments are private: they could
//! not be saved, and a resumed run would not be the undisturbed one.

pub(super) mod cuda;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ParameterState, Step, Update};
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::BLOCK_VALUES;

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

impl AdamWOptions {
    /// What the moments are divided by in a step, because they started at 0.
    fn corrections(&self, step: Step) -> (f32, f32) {
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(step.number as f64)) as f32;
        (correction(self.beta1), correction(self.beta2))
    }
}

/// New values of a parameter, in the gradient's memory.
pub(super) fn update(
    options: &AdamWOptions,
    step: Step,
    update: Update<'_, Host>,
    state: &mut ParameterState,
) -> Vec<f32> {
    let Update {
        values,
        mut gradient,
        ..
    } = update;
    if state.vectors.is_empty() {
        state.vectors = vec![vec![0.0; values.len()]; 2];
    }
    let [first, second] = state.vectors.as_mut_slice() else {
        panic!("two moments a parameter");
    };
    let (first_correction, second_correction) = options.corrections(step);
    let constants = Constants {
        options: *options,
        step,
        first_correction,
        second_correction,
    };
    gradient
        .par_chunks_mut(BLOCK_VALUES)
        .zip(values.par_chunks(BLOCK_VALUES))
        .zip(first.par_chunks_mut(BLOCK_VALUES))
        .zip(second.par_chunks_mut(BLOCK_VALUES))
        .for_each(|(((gradient, values), first), second)| {
            new_values(gradient, values, first, second, &constants);
        });
    gradient
}

/// The numbers that are the same for all values.
struct Constants {
    options: AdamWOptions,
    step: Step,
    first_correction: f32,
    second_correction: f32,
}

vectorized! {
    /// Updates the moments of a block, and writes its new values in place of the gradient.
    fn new_values(
        gradient: &mut [f32],
        values: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        constants: &Constants,
    ) {
        let AdamWOptions {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = constants.options;
        let Step {
            scale,
            learning_rate,
            ..
        } = constants.step;
        let (first_correction, second_correction) =
            (constants.first_correction, constants.second_correction);
        let moments = first.iter_mut().zip(second);
        for ((g, &value), (m, v)) in gradient.iter_mut().zip(values).zip(moments) {
            let scaled = scale * *g;
            *m = beta1 * *m + (1.0 - beta1) * scaled;
            *v = beta2 * *v + (1.0 - beta2) * scaled * scaled;
            let root = (*v / second_correction).sqrt() + epsilon;
            let update = (*m / first_correction) / root;
            *g = value - learning_rate * (update + weight_decay * value);
        }
    }
}

#[cfg(test)]
mod tests {
    use dfdx::optim::{Adam, AdamConfig, Optimizer as _, WeightDecay};
    use dfdx::shapes::Rank1;
    use dfdx::tensor::{AsArray as _, Cpu, Tensor, TensorFrom as _, Trace as _};
    use dfdx::tensor_ops::{Backward as _, MeanTo as _};

    use super::*;
    use crate::backend::gpu::emulated::{SCHEDULES, emulated};
    use crate::gemm::Precision;
    use crate::optim::{Kernels, Optimizer};

    #[test]
    fn equals_dfdx_step_by_step() {
        assert_equals_dfdx(&Host::new());
        for schedule in SCHEDULES {
            assert_equals_dfdx(&emulated(Precision::F32, schedule));
        }
    }

    fn assert_equals_dfdx<D: Kernels>(device: &D) {
        let cpu = Cpu::default();
        let start = [-0.5f32, -0.25, 0.1, 0.6, 1.0];
        let optimizer = Optimizer::AdamW(AdamWOptions {
            weight_decay: 0.1,
            ..Default::default()
        });
        let mut theirs: Tensor<Rank1<5>, f32, Cpu> = cpu.tensor(start);
        let config = AdamConfig {
            lr: 1e-2,
            weight_decay: Some(WeightDecay::Decoupled(0.1)),
            ..Default::default()
        };
        let mut dfdx = Adam::new(&theirs, config);
        let mut ours = device.upload(start.to_vec());
        let mut states = [D::State::default()];
        for step in 1..=20 {
            let gradients = theirs.leaky_trace().exp().square().mean().backward();
            let gradient = device.upload(gradients.get(&theirs).array().to_vec());
            let shape = (1, 5);
            let (squares, _) = device.squares(&optimizer, &[(gradient.as_ref(), shape)]);
            let one = Update {
                values: ours.as_ref(),
                gradient,
                squares: &squares[0],
                shape,
            };
            let of_step = Step {
                number: step,
                learning_rate: 1e-2,
                scale: 1.0,
            };
            ours = device
                .update(&optimizer, of_step, vec![one], &mut states)
                .remove(0);
            dfdx.update(&mut theirs, &gradients).unwrap();
            let ours = device.download(ours.as_ref());
            for (a, b) in ours.iter().zip(theirs.array()) {
                assert!((a - b).abs() < 1e-6, "step {step}: {a} and {b}");
            }
        }
        device.check().unwrap();
    }
}
