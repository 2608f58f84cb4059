//! The forward pass of the sublayer.

use super::super::activation::{gated, relu};
use super::super::{Problem, Tensors};
use super::{Factors, SCRATCH, SavedBlock, Shared, chunks, columns_of, drop_chunk, terms_of};
use crate::backend::Host;
use crate::gemm::{Kept, Matrix, Precision, matmul_part};
use crate::ops::dropout::add_dropped_rows;
use crate::ops::parallel::{changed_copy, independent_row_block, row_block, sized};
use crate::ops::rms_norm::norm_rows;

/// The output and, with `keep`, what the backward pass needs of every block.
pub(super) fn forward<E: Kept>(
    tensors: &Tensors<'_, Host>,
    problem: &Problem,
    precision: Precision,
    keep: bool,
) -> (Vec<f32>, Vec<SavedBlock<E>>) {
    let factors = Factors::forward(tensors);
    let shared = Shared {
        norm: tensors.norm,
        problem,
        precision,
    };
    let rows = if keep {
        row_block(problem.tokens)
    } else {
        independent_row_block(problem.tokens, precision)
    };
    changed_copy(tensors.x, rows * problem.width, |first, y| {
        forward_block(y, first / problem.width, shared, &factors, keep)
    })
}

/// Rows `first_row..` of the output, which hold the input's.
fn forward_block<E: Kept>(
    y: &mut [f32],
    first_row: usize,
    shared: Shared<'_>,
    factors: &Factors<'_>,
    keep: bool,
) -> SavedBlock<E> {
    let Problem { width, hidden, .. } = *shared.problem;
    let rows = y.len() / width;
    let mut saved = SavedBlock {
        gate: Vec::with_capacity(if keep && factors.gate.is_some() {
            rows * hidden
        } else {
            0
        }),
        up: Vec::with_capacity(if keep { rows * hidden } else { 0 }),
    };
    SCRATCH.with_borrow_mut(|scratch| {
        let normed = sized(&mut scratch.normed, rows * width);
        norm_rows(normed, y, shared.norm, shared.problem.eps);
        let normed = Matrix::new(normed, rows, width);
        let normed = scratch.packed.pack_a(normed, shared.precision);
        for (first, columns) in chunks(hidden) {
            let part = columns_of(first, columns);
            let up = sized(&mut scratch.up, rows * columns);
            matmul_part(up, columns, normed, factors.up, part, false);
            if keep {
                append(&mut saved.up, up);
            }
            let h = match factors.gate {
                Some(factor) => {
                    let gate = sized(&mut scratch.gate, rows * columns);
                    matmul_part(gate, columns, normed, factor, part, false);
                    if keep {
                        append(&mut saved.gate, gate);
                    }
                    gated(shared.problem.activation, gate, up);
                    gate
                }
                None => {
                    relu(up);
                    up
                }
            };
            drop_chunk(h, shared.problem.hidden_dropout, first_row, first, columns);
            let h = Matrix::new(h, rows, columns);
            let h = scratch.packed_chunks[0].pack_a(h, shared.precision);
            let part = terms_of(first, width);
            if shared.problem.output_dropout.is_some() {
                let change = sized(&mut scratch.wide, rows * width);
                matmul_part(change, width, h, factors.down, part, first > 0);
            } else {
                matmul_part(y, width, h, factors.down, part, true);
            }
        }
        if let Some(key) = shared.problem.output_dropout {
            let change = &scratch.wide[..rows * width];
            add_dropped_rows(y, change, width, first_row, key);
        }
    });
    saved
}

fn append<E: Kept>(out: &mut Vec<E>, values: &[f32]) {
    out.reserve(values.len());
    E::narrow_into(values, &mut out.spare_capacity_mut()[..values.len()]);
    // SAFETY: so many places after the last value were reserved and written.
    unsafe { out.set_len(out.len() + values.len()) };
}
