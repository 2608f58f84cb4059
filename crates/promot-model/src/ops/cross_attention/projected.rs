//! Keys and values as they are written down: all states projected, then attention.

use super::{Gradients, Inputs, Problem};
use crate::backend::WeightGradient;
use crate::ops::{attention, linear};

/// What the backward pass reads.
pub struct Saved<B> {
    keys: B,
    values: B,
    log_sum_exp: B,
}

/// Sizes of both projections.
fn sizes(problem: &Problem) -> linear::Sizes {
    linear::Sizes {
        tokens: problem.states(),
        in_features: problem.width,
        out_features: problem.features(),
    }
}

fn of_attention(problem: &Problem) -> attention::Problem {
    attention::Problem {
        layout: problem.layout.clone(),
        d_kv: problem.d_kv,
        buckets: None,
    }
}

/// The output, and what the backward pass reads beside it.
pub(super) fn forward<D>(
    device: &D,
    inputs: Inputs<'_, D>,
    problem: &Problem,
) -> (D::Buffer, Saved<D::Buffer>)
where
    D: attention::Kernels + linear::Kernels,
{
    let sizes = sizes(problem);
    let keys = device.linear(inputs.states, inputs.wk, sizes);
    let values = device.linear(inputs.states, inputs.wv, sizes);
    let attended = attention::Inputs {
        q: inputs.q,
        k: keys.as_ref(),
        v: values.as_ref(),
        bias: None,
    };
    let (y, log_sum_exp) = device.attention(attended, &of_attention(problem));
    let saved = Saved {
        keys,
        values,
        log_sum_exp,
    };
    (y, saved)
}

/// The gradient of the queries; adds to the others.
pub(super) fn backward<D>(
    device: &D,
    [dy, y]: [&D::Slice; 2],
    saved: Saved<D::Buffer>,
    inputs: Inputs<'_, D>,
    problem: &Problem,
    gradients: &mut Gradients<D::Buffer>,
) -> D::Buffer
where
    D: attention::Kernels + linear::Kernels,
{
    let attended = attention::Inputs {
        q: inputs.q,
        k: saved.keys.as_ref(),
        v: saved.values.as_ref(),
        bias: None,
    };
    let log_sum_exp = saved.log_sum_exp.as_ref();
    let out =
        device.attention_backward(dy, y, log_sum_exp, attended, &of_attention(problem), false);
    let sizes = sizes(problem);
    // The last one first, as a tape would: sums in another order have other last bits.
    for (dy, w, dw) in [
        (&out.dv, inputs.wv, &mut gradients.wv),
        (&out.dk, inputs.wk, &mut gradients.wk),
    ] {
        if let Some(dstates) = &mut gradients.states {
            device.linear_dx(dstates.as_mut(), dy.as_ref(), w, sizes);
        }
        if let Some(WeightGradient(dw)) = dw {
            let dw = dw.get_or_insert_with(|| device.zeros(sizes.out_features * sizes.in_features));
            device.linear_dw(dw.as_mut(), dy.as_ref(), inputs.states, sizes);
        }
    }
    out.dq
}
