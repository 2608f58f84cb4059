//! What a GPU can do at most, from its number of multiprocessors and its clock.

use crate::gemm::Precision;

/// What computes on a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Units {
    /// Major and minor compute capability.
    pub(super) capability: (u32, u32),
    pub(super) multiprocessors: u32,
    /// Cycles a second at most.
    pub(super) clock: f64,
}

impl Units {
    /// Operations a second in matrix products, dense and with sums in `f32`; none if the compute
    /// capability is not known here. GeForce cards do half of it in bf16.
    ///
    /// Operations of a multiprocessor in a cycle are those of NVIDIA's architecture papers (A100, GA102,
    /// AD102, H100).
    pub(super) fn peak(&self, precision: Precision) -> Option<f64> {
        let (f32, bf16) = match self.capability {
            (8, 0) => (128.0, 2048.0),
            (8, 6 | 9) => (256.0, 1024.0),
            (9, 0) => (256.0, 4096.0),
            _ => return None,
        };
        let operations = match precision {
            Precision::F32 => f32,
            Precision::Bf16 => bf16,
        };
        Some(operations * f64::from(self.multiprocessors) * self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_those_of_the_data_sheets() {
        // (capability, multiprocessors, boost clock in GHz, TFLOP/s in f32 and in bf16)
        for (name, capability, multiprocessors, clock, f32, bf16) in [
            ("A100", (8, 0), 108, 1.41, 19.5, 312.0),
            ("RTX A6000", (8, 6), 84, 1.80, 38.7, 154.8),
            ("L40S", (8, 9), 142, 2.52, 91.6, 362.0),
            ("H100 SXM", (9, 0), 132, 1.83, 62.0, 989.0),
        ] {
            let units = Units {
                capability,
                multiprocessors,
                clock: clock * 1e9,
            };
            for (precision, expected) in [(Precision::F32, f32), (Precision::Bf16, bf16)] {
                let peak = units.peak(precision).unwrap() / 1e12;
                assert!(
                    (peak / expected - 1.0).abs() < 0.02,
                    "{name}: {peak} instead of {expected}"
                );
            }
        }
        let unknown = Units {
            capability: (7, 5),
            multiprocessors: 40,
            clock: 1e9,
        };
        assert_eq!(unknown.peak(Precision::F32), None);
    }
}
