//! The forward pass, a group of sequences at a time.

use std::mem::MaybeUninit;

use half::bf16;

use super::{Group, PRECISION, Saved, Scratch, Shared, rows_of, run, span};
use crate::backend::{Device as _, Host};
use crate::gemm::{Kept as _, Matrix, filled, matmul_packed, unfilled};
use crate::ops::attention::Sequences;
use crate::ops::dropout::add_dropped_rows;
use crate::ops::parallel::sized;
use crate::ops::rms_norm::norm_rows;
use crate::ops::self_attention::{Problem, Tensors};

/// A group's rows of the input, and of what is filled.
struct Rows<'a> {
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
    qkv: [&'a mut [MaybeUninit<bf16>]; 3],
    attended: &'a mut [MaybeUninit<bf16>],
    log_sum_exp: &'a mut [f32],
}

/// The output, and what the backward pass reads.
pub(in crate::ops::self_attention) fn forward(
    tensors: &Tensors<'_, Host>,
    problem: &Problem,
) -> (Vec<f32>, Saved) {
    let layout = &problem.attention.layout;
    let (heads, width) = (layout.num_heads, tensors.norm.len());
    let tokens = tensors.x.len() / width;
    let features = tensors.qkv.map(|w| Host::shape(w).0);
    let shared = Shared {
        norm: tensors.norm,
        qkv: tensors.qkv.map(|w| (w.factor_t(), Host::shape(w).0)),
        o: tensors.o.factor_t(),
        sequences: Sequences::forth(&problem.attention, tensors.bias, PRECISION),
        problem,
    };
    let groups = Group::all(layout);
    let mut y = unfilled(tokens * width);
    let mut qkv = features.map(|features| unfilled(tokens * features));
    let mut attended = unfilled(tokens * features[0]);
    let mut log_sum_exp = vec![f32::NEG_INFINITY; tokens * heads];
    let [q, k, v] = &mut qkv;
    let tasks = (groups.iter())
        .zip(rows_of(&mut y, &groups, width))
        .zip(rows_of(q, &groups, features[0]))
        .zip(rows_of(k, &groups, features[1]))
        .zip(rows_of(v, &groups, features[2]))
        .zip(rows_of(&mut attended, &groups, features[0]))
        .zip(rows_of(&mut log_sum_exp, &groups, heads))
        .map(|((((((group, y), q), k), v), attended), log_sum_exp)| {
            let rows = Rows {
                x: &tensors.x[span(&group.rows, width)],
                y,
                qkv: [q, k, v],
                attended,
                log_sum_exp,
            };
            (group, rows)
        });
    run(tasks.collect(), |group, rows, scratch| {
        forward_group(group, rows, &shared, scratch);
    });
    // SAFETY: the groups have all rows, and `forward_group` fills those of its group.
    unsafe {
        let saved = Saved {
            qkv: qkv.map(|x| filled(x)),
            attended: filled(attended),
            log_sum_exp,
        };
        (filled(y), saved)
    }
}

/// Fills all rows of a group.
fn forward_group(group: &Group, rows: Rows<'_>, shared: &Shared<'_>, scratch: &mut Scratch) {
    let Rows {
        x,
        y,
        mut qkv,
        attended: kept,
        log_sum_exp,
    } = rows;
    let Problem { attention, eps, .. } = shared.problem;
    let (width, layout) = (shared.norm.len(), &attention.layout);
    let features = layout.num_heads * attention.d_kv;
    for block in group.blocks() {
        let x = &x[span(&block, width)];
        let normed = sized(&mut scratch.block, x.len());
        norm_rows(normed, x, shared.norm, *eps);
        let normed = Matrix::new(normed, block.len(), width);
        let normed = scratch.packed[0].pack_a(normed, PRECISION);
        for (kept, &(factor, columns)) in qkv.iter_mut().zip(&shared.qkv) {
            let projected = sized(&mut scratch.projected, block.len() * columns);
            matmul_packed(projected, columns, normed, factor, false);
            bf16::narrow_into(projected, &mut kept[span(&block, columns)]);
        }
    }
    // SAFETY: all of them were written just above, since the blocks are all rows.
    let qkv: [&[bf16]; 3] = qkv.map(|x| unsafe { &*x.assume_init_mut() });

    let attended = sized(&mut scratch.attended, group.rows.len() * features);
    for (index, rows) in group.sequences(layout) {
        let tensors = std::array::from_fn(|i| &qkv[i][span(&rows, shared.qkv[i].1)]);
        let y = &mut attended[span(&rows, features)];
        let log_sum_exp = &mut log_sum_exp[span(&rows, layout.num_heads)];
        (shared.sequences).forward(index, tensors, y, log_sum_exp);
    }

    bf16::narrow_into(attended, kept);
    let y = y.write_copy_of_slice(x);
    for block in group.blocks() {
        let attended = Matrix::new(&attended[span(&block, features)], block.len(), features);
        let attended = scratch.packed[0].pack_a(attended, PRECISION);
        let y = &mut y[span(&block, width)];
        match shared.problem.dropout {
            None => matmul_packed(y, width, attended, shared.o, true),
            Some(key) => {
                let change = sized(&mut scratch.block, y.len());
                matmul_packed(change, width, attended, shared.o, false);
                add_dropped_rows(y, change, width, group.rows.start + block.start, key);
            }
        }
    }
}
