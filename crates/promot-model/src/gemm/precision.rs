//! In which numbers matrix products are computed.

use serde::{Deserialize, Serialize};

/// The precision of matrix products. Weights, gradients and optimizer state are `f32` in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Products as exact as `f32` arithmetic.
    #[default]
    F32,
    /// Factors rounded to bfloat16, sums in `f32`; what lies between two ops of a layer is kept
    /// in bfloat16.
    Bf16,
}

impl Precision {
    /// The name in YAML, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}
