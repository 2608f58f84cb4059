//! No keys and values: queries are brought to the width of the states, a row for each head, and attend to
//! the states themselves.

use std::sync::Arc;

use super::heads::{add_products_by_head, from_states, to_states};
use super::{Gradients, Inputs, Problem};
use crate::backend::{Host, WeightGradient};
use crate::ops::attention::{self, Kernels as _, Layout};

/// What the backward pass reads.
pub struct Saved {
    /// `q wk` by head, `(Tq * H, D)`.
    queries: Vec<f32>,
    /// Means of states by head, `(Tq * H, D)`.
    attended: Vec<f32>,
    /// `(Tq * H, 1)`.
    log_sum_exp: Vec<f32>,
}

/// Attention of one head: the heads of a query are queries of their own, all with the same keys.
///
/// The position of a query's head among these is what the dropout of its probabilities is drawn by
/// anyway, so that masks are the same.
fn of_attention(problem: &Problem) -> attention::Problem {
    let layout = &problem.layout;
    let q_offsets: Arc<[usize]> = layout
        .q_offsets
        .iter()
        .map(|end| end * layout.num_heads)
        .collect();
    attention::Problem {
        layout: Layout {
            q_offsets,
            num_heads: 1,
            num_kv_heads: 1,
            ..layout.clone()
        },
        d_kv: problem.width,
        buckets: None,
    }
}

/// The output, and what the backward pass reads.
pub(super) fn forward(
    host: &Host,
    inputs: Inputs<'_, Host>,
    problem: &Problem,
) -> (Vec<f32>, Saved) {
    let (heads, precision) = (problem.layout.num_heads, host.precision());
    let queries = to_states(inputs.q, inputs.wk, heads, precision);
    let states = attention::Inputs::<[f32]> {
        q: &queries,
        k: inputs.states,
        v: inputs.states,
        bias: None,
    };
    let (attended, log_sum_exp) = host.attention(states, &of_attention(problem));
    let y = from_states(&attended, inputs.wv, heads, precision);
    let saved = Saved {
        queries,
        attended,
        log_sum_exp,
    };
    (y, saved)
}

/// The gradient of the queries; adds to the others.
pub(super) fn backward(
    host: &Host,
    dy: &[f32],
    saved: Saved,
    inputs: Inputs<'_, Host>,
    problem: &Problem,
    gradients: &mut Gradients<Vec<f32>>,
) -> Vec<f32> {
    let (heads, precision) = (problem.layout.num_heads, host.precision());
    let dattended = to_states(dy, inputs.wv, heads, precision);
    if let Some(WeightGradient(dw)) = &mut gradients.wv {
        add_products_by_head(dw, inputs.wv, [dy, &saved.attended], heads, precision);
    }
    let dqueries = host.attention_to_states_backward(
        &dattended,
        &saved.attended,
        &saved.log_sum_exp,
        [&saved.queries, inputs.states],
        &of_attention(problem),
        gradients.states.as_deref_mut(),
    );
    if let Some(WeightGradient(dw)) = &mut gradients.wk {
        add_products_by_head(dw, inputs.wk, [inputs.q, &dqueries], heads, precision);
    }
    from_states(&dqueries, inputs.wk, heads, precision)
}
