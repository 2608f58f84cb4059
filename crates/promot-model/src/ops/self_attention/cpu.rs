//! Self-attention on the CPU: step by step, or sequence by sequence.

use super::{Gradients, Kernels, Problem, Tensors, WeightGradients, by_sequence, stepwise};
use crate::backend::Host;
use crate::gemm::Precision;

/// What the backward pass reads, by how the forward pass went.
pub enum HostSaved {
    /// Step by step.
    Stepwise(stepwise::Saved<Vec<f32>>),
    /// Sequence by sequence.
    BySequence(by_sequence::Saved),
}

/// Whether each sequence goes through all steps at once.
///
/// Queries, keys and values are then kept in bf16 as soon as they are computed: in `f32` they would not
/// become smaller.
fn goes_by_sequence(problem: &Problem, precision: Precision) -> bool {
    precision == Precision::Bf16 && by_sequence::fits(&problem.attention.layout)
}

impl Kernels for Host {
    type Saved = HostSaved;

    fn self_attention(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
    ) -> (Vec<f32>, HostSaved) {
        if goes_by_sequence(problem, self.precision()) {
            let (y, saved) = by_sequence::forward(&tensors, problem);
            (y, HostSaved::BySequence(saved))
        } else {
            let (y, saved) = stepwise::forward(self, &tensors, problem);
            (y, HostSaved::Stepwise(saved))
        }
    }

    fn self_attention_backward(
        &self,
        dy: Vec<f32>,
        saved: HostSaved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<WeightGradients<Vec<f32>>>,
        with_bias: bool,
    ) -> Gradients<Vec<f32>> {
        match saved {
            HostSaved::Stepwise(saved) => {
                stepwise::backward(self, dy, saved, &tensors, problem, weights, with_bias)
            }
            HostSaved::BySequence(saved) => {
                by_sequence::backward(dy, saved, &tensors, problem, weights, with_bias)
            }
        }
    }
}
