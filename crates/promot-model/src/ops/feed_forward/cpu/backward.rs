//! The backward pass of the sublayer.

use rayon::prelude::*;

use super::super::activation::{gated_backward, relu_backward};
use super::super::{Problem, Tensors, WeightGradients};
use super::collected::{Collected, CollectedBlock};
use super::{Factors, SCRATCH, SavedBlock, Shared, chunks, columns_of, drop_chunk, terms_of};
use crate::backend::Host;
use crate::gemm::{Kept, Matrix, Precision, matmul_part, matmul_sum};
use crate::ops::dropout::drop_rows;
use crate::ops::parallel::{add_assign, row_block, sized};
use crate::ops::rms_norm::{norm_dw_rows, norm_dx_rows, norm_rows};

/// Blocks whose rows are summed up at once in the gradients of weights, which are read and written each time.
const GROUP: usize = 32;

/// Turns `dy` into the gradient of `x`, and adds to those of the weights if they are wanted.
pub(super) fn backward<E: Kept>(
    mut dy: Vec<f32>,
    saved: Vec<SavedBlock<E>>,
    tensors: &Tensors<'_, Host>,
    problem: &Problem,
    precision: Precision,
    mut weights: Option<&mut WeightGradients<Vec<f32>>>,
) -> Vec<f32> {
    let factors = Factors::backward(tensors);
    let shared = Shared {
        norm: tensors.norm,
        problem,
        precision,
    };
    let width = problem.width;
    let rows = row_block(problem.tokens);
    let collect = || Collected::<E>::new(problem, tensors.gate.is_some(), precision);
    let mut collected = weights.is_some().then(collect);
    let mut saved = saved.into_iter();
    for (group, dy) in dy.chunks_mut(rows * GROUP * width).enumerate() {
        let first_row = group * GROUP * rows;
        let lengths: Vec<usize> = dy.chunks(rows * width).map(|dy| dy.len() / width).collect();
        let blocks: Vec<_> = match &mut collected {
            Some(collected) => collected.blocks(&lengths).into_iter().map(Some).collect(),
            None => lengths.iter().map(|_| None).collect(),
        };
        let saved: Vec<SavedBlock<E>> = saved.by_ref().take(lengths.len()).collect();
        let dnorms: Vec<Vec<f32>> = dy
            .par_chunks_mut(rows * width)
            .zip(blocks)
            .zip(saved)
            .enumerate()
            .map(|(block, ((dy, collected), saved))| {
                let first_row = first_row + block * rows;
                let x = &tensors.x[first_row * width..][..dy.len()];
                backward_block(dy, x, first_row, &saved, shared, &factors, collected)
            })
            .collect();
        if let (Some(weights), Some(collected)) = (weights.as_deref_mut(), &collected) {
            for dnorm in &dnorms {
                add_assign(&mut weights.norm, dnorm);
            }
            // SAFETY: the blocks above are all rows of `dy`, and `backward_block` puts all values there.
            unsafe { collected.add_to(weights) };
        }
    }
    dy
}

/// Turns a block's rows of `dy` into those of `dx`. Returns its share of the gradient of the
/// normalisation's scale if `collected` says that gradients of weights are wanted.
fn backward_block<E: Kept>(
    dy: &mut [f32],
    x: &[f32],
    first_row: usize,
    saved: &SavedBlock<E>,
    shared: Shared<'_>,
    factors: &Factors<'_>,
    mut collected: Option<CollectedBlock<'_, E>>,
) -> Vec<f32> {
    let problem = shared.problem;
    let Problem { width, hidden, .. } = *problem;
    let rows = dy.len() / width;
    SCRATCH.with_borrow_mut(|scratch| {
        let mut dz = &*dy;
        if let Some(key) = problem.output_dropout {
            let dropped = sized(&mut scratch.wide, rows * width);
            dropped.copy_from_slice(dy);
            drop_rows(dropped, width, first_row, 0, key);
            dz = dropped;
        }
        if let Some(collected) = &mut collected {
            collected.dz.put(dz, width, [0, 0]);
            let normed = sized(&mut scratch.normed, rows * width);
            norm_rows(normed, x, shared.norm, problem.eps);
            collected.normed.put(normed, width, [0, 0]);
        }
        let dz = Matrix::new(dz, rows, width);
        let dz = scratch.packed.pack_a(dz, shared.precision);
        for (first, columns) in chunks(hidden) {
            let at = rows * first..rows * (first + columns);
            let dh = sized(&mut scratch.dh, rows * columns);
            let part = columns_of(first, columns);
            matmul_part(dh, columns, dz, factors.down, part, false);
            drop_chunk(dh, problem.hidden_dropout, first_row, first, columns);
            let up = sized(&mut scratch.up, rows * columns);
            E::widen(&saved.up[at.clone()], up);
            // From here on `dh` is h, and `gate` and `up` are their own gradients.
            let dn = sized(&mut scratch.normed, rows * width);
            let part = terms_of(first, width);
            let [packed_up, packed_gate] = &mut scratch.packed_chunks;
            if let Some(factor) = factors.gate {
                let gate = sized(&mut scratch.gate, rows * columns);
                E::widen(&saved.gate[at], gate);
                gated_backward(problem.activation, dh, gate, up);
                if let Some(dgate) = collected.as_mut().and_then(|c| c.dgate.as_mut()) {
                    dgate.put(gate, columns, [0, first]);
                }
                let dgate = Matrix::new(gate, rows, columns);
                let dgate = packed_gate.pack_a(dgate, shared.precision);
                let dup = Matrix::new(up, rows, columns);
                let dup = packed_up.pack_a(dup, shared.precision);
                let pairs = [(dgate, factor, part), (dup, factors.up, part)];
                matmul_sum(dn, width, pairs, first > 0);
            } else {
                relu_backward(dh, up);
                let dup = Matrix::new(up, rows, columns);
                let dup = packed_up.pack_a(dup, shared.precision);
                matmul_part(dn, width, dup, factors.up, part, first > 0);
            }
            if let Some(collected) = &mut collected {
                collected.dup.put(up, columns, [0, first]);
                drop_chunk(dh, problem.hidden_dropout, first_row, first, columns);
                collected.h.put(dh, columns, [0, first]);
            }
        }
        let dn = &scratch.normed[..rows * width];
        let mut dnorm = Vec::new();
        if collected.is_some() {
            dnorm = vec![0.0; width];
            norm_dw_rows(&mut dnorm, dn, x, problem.eps);
        }
        norm_dx_rows(dy, dn, x, shared.norm, problem.eps);
        dnorm
    })
}
