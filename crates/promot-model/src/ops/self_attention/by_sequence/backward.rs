//! The backward pass, a group of sequences at a time.

use half::bf16;

use super::collected::{Collected, CollectedGroup};
use super::{BLOCK, Group, PRECISION, Saved, Scratch, Shared, rows_of, run, span};
use crate::backend::{Device as _, Host};
use crate::gemm::{Kept as _, Matrix, Part, matmul_packed, matmul_sum};
use crate::ops::attention::Sequences;
use crate::ops::dropout::drop_rows;
use crate::ops::parallel::{add_assign, changed_copy, sized};
use crate::ops::rms_norm::{norm_dw_rows, norm_dx_rows, norm_rows};
use crate::ops::self_attention::{Gradients, Problem, Tensors, WeightGradients};

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
    /// What the gradients of weights are computed from, if they are wanted.
    collected: Option<CollectedGroup<'a>>,
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
    let features = tensors.qkv.map(|w| Host::shape(w).0);
    let buckets = problem.attention.buckets.filter(|_| with_bias);
    let shared = Shared {
        norm: tensors.norm,
        qkv: tensors.qkv.map(|w| (w.factor(), Host::shape(w).0)),
        o: tensors.o.factor(),
        sequences: Sequences::back(&problem.attention, tensors.bias, PRECISION),
        problem,
    };
    let table_len = buckets.map_or(0, |buckets| buckets.num_buckets * heads);
    let groups = Group::all(layout);
    let dropped = problem.dropout.map(|key| {
        let drop = |first: usize, dy: &mut [f32]| drop_rows(dy, width, first / width, 0, key);
        changed_copy(&dy, BLOCK * width, drop).0
    });
    let mut collected = weights.is_some().then(|| Collected::new(width, features));
    let collected_groups: Vec<_> = match &mut collected {
        Some(collected) => collected.groups(&groups).into_iter().map(Some).collect(),
        None => groups.iter().map(|_| None).collect(),
    };
    let mut shares: Vec<Shares> = groups.iter().map(|_| Shares::default()).collect();
    let tasks = (groups.iter())
        .zip(rows_of(&mut dy, &groups, width))
        .zip(collected_groups)
        .zip(&mut shares)
        .map(|(((group, dy), collected), shares)| {
            let qkv = |i: usize| &saved.qkv[i][span(&group.rows, features[i])];
            let rows = Rows {
                x: &tensors.x[span(&group.rows, width)],
                dy,
                dropped: dropped.as_ref().map(|dz| &dz[span(&group.rows, width)]),
                qkv: std::array::from_fn(qkv),
                attended: &saved.attended[span(&group.rows, features[0])],
                log_sum_exp: &saved.log_sum_exp[span(&group.rows, heads)],
                collected,
            };
            (group, (rows, shares))
        });
    run(tasks.collect(), |group, (rows, shares), scratch| {
        *shares = backward_group(group, rows, &shared, table_len, scratch);
    });

    let mut dbias = with_bias.then(|| vec![0.0; table_len]);
    for share in &shares {
        if let Some(dbias) = &mut dbias {
            add_assign(dbias, &share.table);
        }
        if let Some(weights) = &mut weights {
            add_assign(&mut weights.norm, &share.norm);
        }
    }
    if let (Some(weights), Some(collected)) = (&mut weights, &collected) {
        // SAFETY: the groups have all rows, and `backward_group` puts all values of its group there.
        unsafe { collected.add_to(weights) };
    }
    Gradients {
        dx: dy,
        weights,
        dbias,
    }
}

/// Turns a group's rows of the output's gradient into those of the input's. The bias table has `table_len`
/// values, 0 if its gradient is not wanted.
fn backward_group(
    group: &Group,
    mut rows: Rows<'_>,
    shared: &Shared<'_>,
    table_len: usize,
    scratch: &mut Scratch,
) -> Shares {
    let Problem { attention, eps, .. } = shared.problem;
    let (width, layout, len) = (shared.norm.len(), &attention.layout, group.rows.len());
    let columns = shared.qkv.map(|(_, columns)| columns);
    let features = columns[0];
    let dattended = sized(&mut scratch.dattended, len * features);
    let dz = rows.dropped.unwrap_or(rows.dy);
    for block in group.blocks() {
        let dz = &dz[span(&block, width)];
        if let Some(collected) = &mut rows.collected {
            collected.dz.put(dz, width, [block.start, 0]);
        }
        let dz = Matrix::new(dz, block.len(), width);
        let dz = scratch.packed[0].pack_a(dz, PRECISION);
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
    let mut table = vec![0.0; table_len];
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
    let mut norm = Vec::new();
    if let Some(collected) = &mut rows.collected {
        norm = vec![0.0; width];
        collected.attended.put(attended, features, [0, 0]);
        for ((all, gradient), columns) in collected.dqkv.iter_mut().zip(&dqkv).zip(columns) {
            all.put(gradient, columns, [0, 0]);
        }
    }

    for block in group.blocks() {
        let dn = sized(&mut scratch.block, block.len() * width);
        let [dq, dk, dv] = [0, 1, 2].map(|i| {
            let gradient = &dqkv[i][span(&block, columns[i])];
            Matrix::new(gradient, block.len(), columns[i])
        });
        let [q, k, v] = &mut scratch.packed;
        let [dq, dk, dv] =
            [(q, dq), (k, dk), (v, dv)].map(|(packed, x)| packed.pack_a(x, PRECISION));
        let [wq, wk, wv] = shared.qkv.map(|(factor, _)| factor);
        let pairs = [(dq, wq), (dk, wk), (dv, wv)].map(|(a, b)| (a, b, Part::all(b)));
        matmul_sum(dn, width, pairs, false);
        let of_block = span(&block, width);
        let (x, dx) = (&rows.x[of_block.clone()], &mut rows.dy[of_block]);
        if let Some(collected) = &mut rows.collected {
            norm_dw_rows(&mut norm, dn, x, *eps);
            let normed = sized(&mut scratch.projected, x.len());
            norm_rows(normed, x, shared.norm, *eps);
            collected.normed.put(normed, width, [block.start, 0]);
        }
        norm_dx_rows(dx, dn, x, shared.norm, *eps);
    }
    Shares { norm, table }
}
