//! Cross-attention on the CPU: in which order its products are computed.

use super::{Gradients, Inputs, Kernels, Problem, absorbed, projected};
use crate::backend::Host;
use crate::gemm::Precision;

/// What the backward pass reads, by how the forward pass went.
pub enum HostSaved {
    /// With keys and values.
    Projected(projected::Saved<Vec<f32>>),
    /// Without.
    Absorbed(absorbed::Saved),
}

/// Whether queries are brought to the states, and not the states to the queries.
///
/// That takes half of the multiplications or less where it is done. In `f32`, where a run is to be
/// compared to the last digit, products are computed in the order in which they are written down.
fn absorbs(problem: &Problem, precision: Precision) -> bool {
    let layout = &problem.layout;
    // A right factor's terms are cut at whole tiles.
    if precision == Precision::F32 || !problem.d_kv.is_multiple_of(32) {
        return false;
    }
    let lengths = |offsets: &[usize]| -> Vec<usize> {
        offsets.windows(2).map(|ends| ends[1] - ends[0]).collect()
    };
    let (queries, states) = (lengths(&layout.q_offsets), lengths(&layout.kv_offsets));
    let pairs: usize = queries.iter().zip(&states).map(|(q, s)| q * s).sum();
    let all_queries: usize = queries.iter().sum();
    // Multiplications for each head and column of the states.
    let absorbed = pairs + all_queries * problem.d_kv;
    let projected = problem.states() * problem.d_kv;
    2 * absorbed <= projected
}

impl Kernels for Host {
    type Saved = HostSaved;

    fn cross_attention(
        &self,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
    ) -> (Vec<f32>, HostSaved) {
        if absorbs(problem, self.precision()) {
            let (y, saved) = absorbed::forward(self, inputs, problem);
            (y, HostSaved::Absorbed(saved))
        } else {
            let (y, saved) = projected::forward(self, inputs, problem);
            (y, HostSaved::Projected(saved))
        }
    }

    fn cross_attention_backward(
        &self,
        dy: &[f32],
        y: &[f32],
        saved: HostSaved,
        inputs: Inputs<'_, Self>,
        problem: &Problem,
        gradients: &mut Gradients<Vec<f32>>,
    ) -> Vec<f32> {
        match saved {
            HostSaved::Absorbed(saved) => {
                absorbed::backward(self, dy, saved, inputs, problem, gradients)
            }
            HostSaved::Projected(saved) => {
                projected::backward(self, [dy, y], saved, inputs, problem, gradients)
            }
        }
    }
}
