//! The sublayer on the CPU, a block of rows at a time.
//!
//! A block's normalised input and a chunk of its hidden columns stay in the second-level cache from
//! the first product to the last. The backward pass does the same for the gradients of the inputs;
//! the weights' gradients are sums over rows, so what they are computed from is collected for a
//! few blocks and then multiplied at once.

use std::cell::RefCell;

use half::bf16;
use rayon::prelude::*;

use super::activation::{gated, gated_backward, relu, relu_backward};
use super::{Kernels, Problem, Tensors, WeightGradients};
use crate::backend::{Host, HostTensor};
use crate::gemm::{Factor, Matrix, Packed, Part, Precision, Right, matmul, matmul_part};
use crate::ops::dropout::{DropoutKey, add_dropped_rows, drop_rows};
use crate::ops::kept::Kept;
use crate::ops::parallel::{add_assign, par_copy, row_block, sized};
use crate::ops::rms_norm::{norm_dw_rows, norm_dx_rows, norm_rows};

/// Hidden columns handled at a time.
const CHUNK: usize = 256;
/// Blocks whose rows are summed up at once in the gradients of weights.
const GROUP: usize = 8;

/// Hidden values kept for the backward pass.
pub struct HostSaved(Saved);

enum Saved {
    F32(Vec<SavedBlock<f32>>),
    Bf16(Vec<SavedBlock<bf16>>),
}

/// One block's values before the activation: chunk by chunk, each `(rows, columns)`.
struct SavedBlock<E> {
    /// Empty without a gate.
    gate: Vec<E>,
    up: Vec<E>,
}

/// The packed forms of the weights, which threads share.
struct Factors<'a> {
    gate: Option<Factor<'a>>,
    up: Factor<'a>,
    down: Factor<'a>,
}

impl<'a> Factors<'a> {
    fn forward(tensors: &Tensors<'a, Host>) -> Self {
        Self {
            gate: tensors.gate.map(HostTensor::factor_t),
            up: tensors.up.factor_t(),
            down: tensors.down.factor_t(),
        }
    }

    fn backward(tensors: &Tensors<'a, Host>) -> Self {
        Self {
            gate: tensors.gate.map(HostTensor::factor),
            up: tensors.up.factor(),
            down: tensors.down.factor(),
        }
    }
}

/// What the threads know of a layer: everything but tensors, which stay on their thread.
#[derive(Clone, Copy)]
struct Shared<'a> {
    norm: &'a [f32],
    problem: &'a Problem,
    precision: Precision,
}

/// Memory that a thread uses for block after block.
#[derive(Default)]
struct Scratch {
    /// `(rows, D)` each.
    normed: Vec<f32>,
    wide: Vec<f32>,
    /// `(rows, CHUNK)` each.
    gate: Vec<f32>,
    up: Vec<f32>,
    dh: Vec<f32>,
    packed: Packed,
    packed_chunk: Packed,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Chunks of hidden columns: first and count.
fn chunks(hidden: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..hidden)
        .step_by(CHUNK)
        .map(move |first| (first, CHUNK.min(hidden - first)))
}

/// All rows of a factor, some of its columns.
fn columns_of(first_column: usize, columns: usize) -> Part {
    Part {
        first_column,
        columns,
        first_term: 0,
    }
}

/// All columns of a factor, rows from `first_term` on.
fn terms_of(first_term: usize, columns: usize) -> Part {
    Part {
        first_column: 0,
        columns,
        first_term,
    }
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
            let h = scratch.packed_chunk.pack_a(h, shared.precision);
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

/// Dropout of some hidden columns of some rows: a mask a row, whose positions are columns.
fn drop_chunk(
    values: &mut [f32],
    key: Option<DropoutKey>,
    first_row: usize,
    first_column: usize,
    columns: usize,
) {
    if let Some(key) = key {
        drop_rows(values, columns, first_row, first_column, key);
    }
}

fn append<E: Kept>(out: &mut Vec<E>, values: &[f32]) {
    out.reserve(values.len());
    E::narrow_into(values, &mut out.spare_capacity_mut()[..values.len()]);
    // SAFETY: so many places after the last value were reserved and written.
    unsafe { out.set_len(out.len() + values.len()) };
}

/// What the gradients of weights are computed from, for the rows of a group of blocks.
#[derive(Default)]
struct Collected<E> {
    /// The normalised input, `(rows, D)`.
    normed: Vec<E>,
    /// Gradient of the second projection's output, `(rows, D)`.
    dz: Vec<E>,
    /// The activations, `(rows, F)`.
    h: Vec<E>,
    /// Gradients of the first projections' outputs, `(rows, F)`.
    dgate: Vec<E>,
    dup: Vec<E>,
}

/// A block's part of [`Collected`].
struct CollectedBlock<'a, E> {
    normed: &'a mut [E],
    dz: &'a mut [E],
    h: &'a mut [E],
    dgate: &'a mut [E],
    dup: &'a mut [E],
}

impl<E: Kept> Collected<E> {
    fn new(rows: usize, problem: &Problem, gated: bool) -> Self {
        let zeros = |len: usize| vec![E::default(); len];
        Self {
            normed: zeros(rows * problem.width),
            dz: zeros(rows * problem.width),
            h: zeros(rows * problem.hidden),
            dgate: zeros(if gated { rows * problem.hidden } else { 0 }),
            dup: zeros(rows * problem.hidden),
        }
    }

    fn blocks(&mut self, rows: usize, problem: &Problem) -> Vec<CollectedBlock<'_, E>> {
        let Problem { width, hidden, .. } = *problem;
        let mut gates = self.dgate.chunks_mut(rows * hidden);
        let narrow = self.normed.chunks_mut(rows * width);
        let narrow = narrow.zip(self.dz.chunks_mut(rows * width));
        let wide = self.h.chunks_mut(rows * hidden);
        let wide = wide.zip(self.dup.chunks_mut(rows * hidden));
        narrow
            .zip(wide)
            .map(|((normed, dz), (h, dup))| CollectedBlock {
                normed,
                dz,
                h,
                dgate: gates.next().unwrap_or_default(),
                dup,
            })
            .collect()
    }

    /// Adds the sums over the first `rows` rows.
    fn add_to(
        &self,
        gradients: &mut WeightGradients<Vec<f32>>,
        rows: usize,
        problem: &Problem,
        precision: Precision,
    ) {
        let Problem { width, hidden, .. } = *problem;
        let mut packed = Packed::default();
        let normed = packed.par_pack_b(rows_of(&self.normed, rows, width), precision);
        if let Some(gate) = &mut gradients.gate {
            let dgate = rows_of(&self.dgate, rows, hidden).t();
            matmul(gate, dgate, Right::from(normed), true, precision);
        }
        let dup = rows_of(&self.dup, rows, hidden).t();
        matmul(&mut gradients.up, dup, Right::from(normed), true, precision);
        let dz = rows_of(&self.dz, rows, width).t();
        matmul(
            &mut gradients.down,
            dz,
            rows_of(&self.h, rows, hidden),
            true,
            precision,
        );
    }
}

fn rows_of<E: Kept>(values: &[E], rows: usize, columns: usize) -> Matrix<'_, E> {
    Matrix::new(&values[..rows * columns], rows, columns)
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
        let dz = sized(&mut scratch.wide, rows * width);
        dz.copy_from_slice(dy);
        drop_chunk(dz, problem.output_dropout, first_row, 0, width);
        if let Some(collected) = &mut collected {
            E::narrow(dz, collected.dz);
            let normed = sized(&mut scratch.normed, rows * width);
            norm_rows(normed, x, shared.norm, problem.eps);
            E::narrow(normed, collected.normed);
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
            if let Some(factor) = factors.gate {
                let gate = sized(&mut scratch.gate, rows * columns);
                E::widen(&saved.gate[at], gate);
                gated_backward(problem.activation, dh, gate, up);
                if let Some(collected) = &mut collected {
                    scatter(collected.dgate, gate, first, columns, hidden);
                }
                let dgate = Matrix::new(gate, rows, columns);
                let dgate = scratch.packed_chunk.pack_a(dgate, shared.precision);
                matmul_part(dn, width, dgate, factor, part, first > 0);
            } else {
                relu_backward(dh, up);
            }
            let add = first > 0 || factors.gate.is_some();
            let dup = Matrix::new(up, rows, columns);
            let dup = scratch.packed_chunk.pack_a(dup, shared.precision);
            matmul_part(dn, width, dup, factors.up, part, add);
            if let Some(collected) = &mut collected {
                scatter(collected.dup, up, first, columns, hidden);
                drop_chunk(dh, problem.hidden_dropout, first_row, first, columns);
                scatter(collected.h, dh, first, columns, hidden);
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

/// Puts a chunk of columns in its place in rows of `hidden` columns.
fn scatter<E: Kept>(out: &mut [E], chunk: &[f32], first: usize, columns: usize, hidden: usize) {
    for (out, chunk) in out
        .chunks_exact_mut(hidden)
        .zip(chunk.chunks_exact(columns))
    {
        E::narrow(chunk, &mut out[first..][..columns]);
    }
}

fn forward<E: Kept>(
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
    let mut y = par_copy(tensors.x);
    let rows = row_block(problem.tokens);
    let saved = y
        .par_chunks_mut(rows * problem.width)
        .enumerate()
        .map(|(block, y)| forward_block(y, block * rows, shared, &factors, keep))
        .collect();
    (y, saved)
}

fn backward<E: Kept>(
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
    let mut collected = weights.is_some().then(|| {
        let rows = (rows * GROUP).min(problem.tokens);
        Collected::<E>::new(rows, problem, tensors.gate.is_some())
    });
    let mut saved = saved.into_iter();
    for (group, dy) in dy.chunks_mut(rows * GROUP * width).enumerate() {
        let first_row = group * GROUP * rows;
        let blocks: Vec<_> = match &mut collected {
            Some(collected) => collected
                .blocks(rows, problem)
                .into_iter()
                .map(Some)
                .collect(),
            None => (0..GROUP).map(|_| None).collect(),
        };
        let count = dy.len().div_ceil(rows * width);
        let saved: Vec<SavedBlock<E>> = saved.by_ref().take(count).collect();
        let dnorms: Vec<Vec<f32>> = dy
            .par_chunks_mut(rows * width)
            .zip(blocks)
            .zip(saved)
            .enumerate()
            .map(|(block, ((dy, collected), saved))| {
                let first_row = first_row + block * rows;
                let x = &tensors.x[first_row * width..][..dy.len()];
                let collected = collected.map(|all| all.first_rows(dy.len() / width, problem));
                backward_block(dy, x, first_row, &saved, shared, &factors, collected)
            })
            .collect();
        if let (Some(weights), Some(collected)) = (weights.as_deref_mut(), &collected) {
            for dnorm in &dnorms {
                add_assign(&mut weights.norm, dnorm);
            }
            collected.add_to(weights, dy.len() / width, problem, precision);
        }
    }
    dy
}

impl<'a, E> CollectedBlock<'a, E> {
    /// The last block may have fewer rows.
    fn first_rows(self, rows: usize, problem: &Problem) -> Self {
        let (narrow, wide) = (rows * problem.width, rows * problem.hidden);
        Self {
            normed: &mut self.normed[..narrow],
            dz: &mut self.dz[..narrow],
            h: &mut self.h[..wide],
            dgate: if self.dgate.is_empty() {
                self.dgate
            } else {
                &mut self.dgate[..wide]
            },
            dup: &mut self.dup[..wide],
        }
    }
}

impl Kernels for Host {
    type Saved = HostSaved;

    fn feed_forward(
        &self,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        keep: bool,
    ) -> (Vec<f32>, Option<HostSaved>) {
        let precision = self.precision();
        let (y, saved) = match precision {
            Precision::F32 => {
                let (y, saved) = forward(&tensors, problem, precision, keep);
                (y, Saved::F32(saved))
            }
            Precision::Bf16 => {
                let (y, saved) = forward(&tensors, problem, precision, keep);
                (y, Saved::Bf16(saved))
            }
        };
        (y, keep.then_some(HostSaved(saved)))
    }

    fn feed_forward_backward(
        &self,
        dy: Vec<f32>,
        saved: HostSaved,
        tensors: Tensors<'_, Self>,
        problem: &Problem,
        weights: Option<&mut WeightGradients<Vec<f32>>>,
    ) -> Vec<f32> {
        let precision = self.precision();
        match saved.0 {
            Saved::F32(saved) => backward(dy, saved, &tensors, problem, precision, weights),
            Saved::Bf16(saved) => backward(dy, saved, &tensors, problem, precision, weights),
        }
    }
}
