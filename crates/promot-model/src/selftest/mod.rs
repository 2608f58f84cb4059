//! Whether a device computes what the CPU computes, and how fast: for the first minutes on new
//! hardware. `promot-pipeline selftest` prints what is found here.

mod compare;
mod intrinsics;
mod ops;
mod speed;
mod step;
#[cfg(test)]
mod tests;

pub use intrinsics::intrinsics;
pub use ops::ops;
pub use speed::{Speed, speeds};
pub use step::steps;

use crate::gemm::Precision;

/// What one comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// The norm of the difference, relative to the norm of what was expected.
    pub error: f64,
    /// How large that may be.
    pub tolerance: f64,
}

impl Check {
    /// Whether the difference is small enough; one that is no number is not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// How far results may be from those of the CPU in `f32`: roundings in another order, or of factors to
/// bf16, a relative 2^-9 each.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::Bf16 => 3e-2,
    }
}
