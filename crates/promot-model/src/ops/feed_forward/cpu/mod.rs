//! The sublayer on the CPU, a block of rows at a time.
//!
//! A block's normalised input and a chunk of its hidden columns stay in the second-level cache from
//! the first product to the last. The backward pass does the same for the gradients of the inputs;
//! the weights' gradients are sums over rows, so what they are computed from is collected for a
//! number of blocks and then multiplied at once.

mod backward;
mod collected;
mod forward;

use std::cell::RefCell;

use half::bf16;

use self::backward::backward;
use self::forward::forward;
use super::{Kernels, Problem, Tensors, WeightGradients};
use crate::backend::{Host, HostTensor};
use crate::gemm::{Factor, Packed, Part, Precision};
use crate::ops::dropout::{DropoutKey, drop_rows};

/// Hidden columns handled at a time.
const CHUNK: usize = 256;

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
    packed_chunks: [Packed; 2],
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
