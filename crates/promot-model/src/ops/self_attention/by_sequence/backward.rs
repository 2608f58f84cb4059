//! The backward pass, a group of sequences at a time.

use std::mem::MaybeUninit;

use half::bf16;

use super::{BLOCK, Group, PRECISION, Saved, Scratch, Shared, rows_of, run, span};
use crate::backend::{Device as _, Host};
use crate::gemm::{Matrix, add_product, matmul_packed};
use crate::ops::attention::Sequences;
use crate::ops::dropout::drop_rows;
use crate::ops::kept::{Kept as _, filled, unfilled};
use crate::ops::parallel::{add_assign, changed_copy, sized};
use crate::ops::projection::{NormInput, add_weight_gradients};
use crate::ops::rms_norm::{norm_dw_rows, norm_dx_rows};
use crate::ops::self_attention::{Gradients, Problem, Tensors, WeightGradients};

/// Which gradients are wanted beside the input's.
#[derive(Clone, Copy)]
struct Wanted {
    /// Those of weights.
    weights: bool,
    /// That of the bias table: its values, or 0.
    table_len: usize,
}

/// A group's rows of what is read, and of what is filled.
struct Rows<'a> {
    x: &'a [f32],
    /// The output's gradient, which becomes the input's.
    dy: &'a mut [f32],
    /// The same with dropout, if there is any.
    dropped: Option<&'a [f32]>,
    qkv: [&'a [bf16]; 3],
    attended: &'a [bf16],
    log_sum_exp: &'a [f32],
    /// Gradients of queries, keys and values; empty if they are not wanted afterwards.
    dqkv: [&'a mut [MaybeUninit<bf16>]; 3],
}

/// A group's shares of gradients.
#[derive(Default)]
struct Shares {
    norm: Vec<f32>,
    table: Vec<f32>,
}

/// The gradients; adds to those of the weights.
pub(in crate::ops::self_attention) fn backward(
    mut dy: Vec<f32>,
    saved: Saved,
    tensors: &Tensors<'_, Host>,
    problem: &Problem,
    mut weights: Option<WeightGradients<Vec<f32>>>,
    with_bias: bool,
) -> Gradients<Vec<f32>> {
    let layout = &problem.attention.layout;
    let (heads, width) = (layout.num_heads, tensors.norm.len());
    let tokens = tensors.x.len() / width;
    let features = tensors.qkv.map(|w| Host::shape(w).0);
    let buckets = problem.attention.buckets.filter(|_| with_bias);
    let shared = Shared {
        norm: tensors.norm,
        qkv: tensors.qkv.map(|w| (w.factor(), Host::shape(w).0)),
        o: tensors.o.factor(),
        sequences: Sequences::back(&problem.attention, tensors.bias, PRECISION),
        problem,
    };
    let wanted = Wanted {
        weights: weights.is_some(),
        table_len: buckets.map_or(0, |buckets| buckets.num_buckets * heads),
    };
    let groups = Group::all(layout);
    let dropped = problem.dropout.map(|key| {
        let drop = |first: usize, dy: &mut [f32]| drop_rows(dy, width, first / width, 0, key);
        changed_copy(&dy, BLOCK * width, drop).0
    });
    if let Some(weights) = &mut weights {
        let dz = Matrix::new(dropped.as_deref().unwrap_or(&dy), tokens, width);
        let attended = Matrix::new(&saved.attended, tokens, features[0]);
        add_product(&mut weights.o.0, dz.t(), attended, PRECISION);
    }

    let kept = usize::from(wanted.weights);
    let mut dqkv = features.map(|features| unfilled(kept * tokens * features));
    let [dq, dk, dv] = &mut dqkv;
    let mut shares: Vec<Shares> = groups.iter().map(|_| Shares::default()).collect();
    let tasks = (groups.iter())
        .zip(rows_of(&mut dy, &groups, width))
        .zip(rows_of(dq, &groups, kept * features[0]))
        .zip(rows_of(dk, &groups, kept * features[1]))
        .zip(rows_of(dv, &groups, kept * features[2]))
        .zip(&mut shares)
        .map(|(((((group, dy), dq), dk), dv), shares)| {
            let qkv = |i: usize| &saved.qkv[i][span(&group.rows, features[i])];
            let rows = Rows {
                x: &tensors.x[span(&group.rows, width)],
                dy,
                dropped: dropped.as_ref().map(|dz| &dz[span(&group.rows, width)]),
                qkv: std::array::from_fn(qkv),
                attended: &saved.attended[span(&group.rows, features[0])],
                log_sum_exp: &saved.log_sum_exp[span(&group.rows, heads)],
                dqkv: [dq, dk, dv],
            };
            (group, (rows, shares))
        });
    run(tasks.collect(), |group, (rows, shares), scratch| {
        *shares = backward_group(group, rows, &shared, wanted, scratch);
    });

    let mut dbias = with_bias.then(|| vec![0.0; wanted.table_len]);
    for share in &shares {
        if let Some(dbias) = &mut dbias {
            add_assign(dbias, &share.table);
        }
        if let Some(weights) = &mut weights {
            add_assign(&mut weights.norm, &share.norm);
        }
    }
    if let Some(weights) = &mut weights {
        // SAFETY: the groups have all rows, and `backward_group` fills those of its group.
        let dqkv = dqkv.map(|x| unsafe { filled(x) });
        let input = NormInput {
            x: tensors.x,
            norm: tensors.norm,
            eps: problem.eps,
        };
        add_weight_gradients::<bf16, _>(&mut weights.qkv, &dqkv, input, PRECISION);
    }
    Gradients {
        dx: dy,
        weights,
        dbias,
    }
}

/// Turns a group's rows of the output's gradient into those of the input's, and fills those of the gradients
/// of queries, keys and values if they are wanted.
fn backward_group(
    group: &Group,
    rows: Rows<'_>,
    shared: &Shared<'_>,
    wanted: Wanted,
    scratch: &mut Scratch,
) -> Shares {
    let Problem { attention, eps, .. } = shared.problem;
    let (width, layout, len) = (shared.norm.len(), &attention.layout, group.rows.len());
    let columns = shared.qkv.map(|(_, columns)| columns);
    let features = columns[0];
    let dattended = sized(&mut scratch.dattended, len * features);
    let dz = rows.dropped.unwrap_or(rows.dy);
    for block in group.blocks() {
        let dz = Matrix::new(&dz[span(&block, width)], block.len(), width);
        let dz = scratch.packed.pack_a(dz, PRECISION);
        let dattended = &mut dattended[span(&block, features)];
        matmul_packed(dattended, features, dz, shared.o, false);
    }

    let attended = sized(&mut scratch.attended, len * features);
    bf16::widen(rows.attended, attended);
    let [dq, dk, dv] = &mut scratch.dqkv;
    let mut dqkv = [
        sized(dq, len * columns[0]),
        sized(dk, len * columns[1]),
        sized(dv, len * columns[2]),
    ];
    let mut table = vec![0.0; wanted.table_len];
    for (index, part) in group.sequences(layout) {
        let [wide, narrow] = [span(&part, features), span(&part, columns[1])];
        let [q, k, v] = rows.qkv;
        let tensors = [&q[wide.clone()], &k[narrow.clone()], &v[narrow.clone()]];
        let of_queries = [
            &dattended[wide.clone()],
            &attended[wide.clone()],
            &rows.log_sum_exp[span(&part, layout.num_heads)],
        ];
        let [dq, dk, dv] = &mut dqkv;
        let out = [
            &mut dq[wide],
            &mut dk[narrow.clone()],
            &mut dv[narrow],
            &mut table,
        ];
        (shared.sequences).backward(index, tensors, of_queries, out);
    }
    if wanted.weights {
        for (kept, gradient) in rows.dqkv.into_iter().zip(&dqkv) {
            bf16::narrow_into(gradient, kept);
        }
    }

    let mut norm = vec![0.0; if wanted.weights { width } else { 0 }];
    for block in group.blocks() {
        let dn = sized(&mut scratch.block, block.len() * width);
        for (i, (gradient, &(factor, columns))) in dqkv.iter().zip(&shared.qkv).enumerate() {
            let gradient = Matrix::new(&gradient[span(&block, columns)], block.len(), columns);
            let gradient = scratch.packed.pack_a(gradient, PRECISION);
            matmul_packed(dn, width, gradient, factor, i > 0);
        }
        let block = span(&block, width);
        let (x, dx) = (&rows.x[block.clone()], &mut rows.dy[block]);
        if wanted.weights {
            norm_dw_rows(&mut norm, dn, x, *eps);
        }
        norm_dx_rows(dx, dn, x, shared.norm, *eps);
    }
    Shares { norm, table }
}
