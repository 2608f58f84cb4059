//! One step after another for all tokens: projections, attention, the output's projection.

use super::{Gradients, Problem, Tensors, WeightGradients};
use crate::ops::projection::{NormInput, NormLinearsGradients};
use crate::ops::{attention, projection};

/// What the backward pass reads.
pub struct Saved<B> {
    qkv: [B; 3],
    attended: B,
    log_sum_exp: B,
}

/// The output, and what the backward pass reads.
pub(super) fn forward<D>(
    device: &D,
    tensors: &Tensors<'_, D>,
    problem: &Problem,
) -> (D::Buffer, Saved<D::Buffer>)
where
    D: attention::Kernels + projection::Kernels,
{
    let qkv = three(device.norm_linears(norm_input(tensors, problem), &tensors.qkv));
    let inputs = inputs(tensors, &qkv);
    let (attended, log_sum_exp) = device.attention(inputs, &problem.attention);
    let y = device.linear_add(tensors.x, attended.as_ref(), tensors.o, problem.dropout);
    let saved = Saved {
        qkv,
        attended,
        log_sum_exp,
    };
    (y, saved)
}

/// The gradients; adds to those of the weights.
pub(super) fn backward<D>(
    device: &D,
    dy: D::Buffer,
    saved: Saved<D::Buffer>,
    tensors: &Tensors<'_, D>,
    problem: &Problem,
    weights: Option<WeightGradients<D::Buffer>>,
    with_bias: bool,
) -> Gradients<D::Buffer>
where
    D: attention::Kernels + projection::Kernels,
{
    let Saved {
        qkv,
        attended,
        log_sum_exp,
    } = saved;
    let weights = weights.map(|w| (w.o, (w.norm, Vec::from(w.qkv))));
    let (mut of_output, of_input) = weights.unzip();
    let dattended = device.linear_add_backward(
        dy.as_ref(),
        attended.as_ref(),
        tensors.o,
        problem.dropout,
        of_output.as_mut(),
    );
    let out = device.attention_backward(
        dattended.as_ref(),
        attended.as_ref(),
        log_sum_exp.as_ref(),
        inputs(tensors, &qkv),
        &problem.attention,
        with_bias,
    );
    drop((dattended, attended, qkv));
    let (dnorm, dws) = of_input.unzip();
    let mut gradients = NormLinearsGradients {
        dx: dy,
        dnorm,
        dws: dws.unwrap_or_default(),
    };
    let dys = vec![out.dq, out.dk, out.dv];
    let input = norm_input(tensors, problem);
    device.norm_linears_backward(&mut gradients, dys, input, &tensors.qkv);
    let NormLinearsGradients { dx, dnorm, dws } = gradients;
    let weights = (dnorm.zip(of_output)).map(|(norm, o)| WeightGradients {
        norm,
        qkv: three(dws),
        o,
    });
    Gradients {
        dx,
        weights,
        dbias: out.dbias,
    }
}

/// One of each for queries, keys and values.
fn three<T>(all: Vec<T>) -> [T; 3] {
    let Ok(all) = all.try_into() else {
        panic!("one for each projection")
    };
    all
}

fn norm_input<'a, D: projection::Kernels>(
    tensors: &Tensors<'a, D>,
    problem: &Problem,
) -> NormInput<'a, D::Slice> {
    NormInput {
        x: tensors.x,
        norm: tensors.norm,
        eps: problem.eps,
    }
}

fn inputs<'a, D: attention::Kernels>(
    tensors: &Tensors<'a, D>,
    [q, k, v]: &'a [D::Buffer; 3],
) -> attention::Inputs<'a, D::Slice> {
    attention::Inputs {
        q: q.as_ref(),
        k: k.as_ref(),
        v: v.as_ref(),
        bias: tensors.bias,
    }
}
