//! Learning rates over the steps of a training run.

use serde::{Deserialize, Serialize};

/// What happens after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// The base rate to the end: what the paper uses.
    #[default]
    Constant,
    /// Down to 0 along half a cosine.
    Cosine,
    /// Down to 0 along a line.
    Linear,
    /// `base * sqrt(warmup / step)`, with a warm-up of at least one step.
    InverseSquareRoot,
}

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The highest rate.
    pub base: f32,
    /// Steps over which the rate rises from 0.
    pub warmup: u64,
    /// What happens then.
    pub decay: Decay,
}

impl Schedule {
    /// One rate for all steps.
    pub fn constant(base: f32) -> Self {
        Self {
            base,
            warmup: 0,
            decay: Decay::Constant,
        }
    }

    /// The rate of `step` (from 1) out of `total`.
    pub fn rate(&self, step: u64, total: u64) -> f32 {
        let base = f64::from(self.base);
        if step < self.warmup {
            return (base * step as f64 / self.warmup as f64) as f32;
        }
        // From 0 at the end of the warm-up to 1 at the last step.
        let progress =
            (step - self.warmup) as f64 / (total.saturating_sub(self.warmup)).max(1) as f64;
        let factor = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
            Decay::Linear => (1.0 - progress).max(0.0),
            Decay::InverseSquareRoot => {
                let warmup = self.warmup.max(1) as f64;
                (warmup / (step as f64).max(warmup)).sqrt()
            }
        };
        (base * factor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(decay: Decay, steps: &[u64]) -> Vec<f32> {
        let schedule = Schedule {
            base: 2.0,
            warmup: 10,
            decay,
        };
        steps.iter().map(|&step| schedule.rate(step, 110)).collect()
    }

    #[test]
    fn rates_at_known_steps() {
        assert_eq!(
            rates(Decay::Constant, &[1, 5, 10, 110]),
            [0.2, 1.0, 2.0, 2.0]
        );
        assert_eq!(
            rates(Decay::Linear, &[5, 10, 60, 110]),
            [1.0, 2.0, 1.0, 0.0]
        );
        assert_eq!(
            rates(Decay::InverseSquareRoot, &[5, 10, 40]),
            [1.0, 2.0, 1.0]
        );
        let cosine = rates(Decay::Cosine, &[10, 60, 110]);
        assert!(
            (cosine[0] - 2.0).abs() < 1e-6
                && (cosine[1] - 1.0).abs() < 1e-6
                && cosine[2].abs() < 1e-6
        );
        assert_eq!(Schedule::constant(0.001).rate(1, 1), 0.001);
    }
}
