//! The projections on the CPU, a block of rows at a time where several steps share one.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use half::bf16;
use rayon::prelude::*;

use super::{Kernels, NormInput, NormLinearsGradients};
use crate::backend::{Device as _, Host, HostTensor, WeightGradient};
use crate::gemm::{
    Factor, Kept, Matrix, Packed, Precision, Right, add_product, matmul_packed, product, products,
};
use crate::ops::dropout::{DropoutKey, add_dropped_rows, drop_rows};
use crate::ops::parallel::{
    add_assign, changed_copy, filled_by_blocks, independent_row_block, row_block, sized,
};
use crate::ops::rms_norm::{norm_dw_rows, norm_dx_rows, norm_rows};

/// Memory that a thread uses for block after block.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    packed: Packed,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The normalised input in the precision of products, `(T, D)`.
fn normed<E: Kept>(input: NormInput<'_, [f32]>) -> Vec<E> {
    let width = input.norm.len();
    let rows = row_block(input.x.len() / width);
    let fill = |first: usize, out: &mut [MaybeUninit<E>]| {
        SCRATCH.with_borrow_mut(|scratch| {
            let normed = sized(&mut scratch.rows, out.len());
            norm_rows(
                normed,
                &input.x[first..][..out.len()],
                input.norm,
                input.eps,
            );
            E::narrow_into(normed, out);
        });
    };
    // SAFETY: `narrow_into` writes all of a block.
    unsafe { filled_by_blocks(input.x.len(), rows * width, fill) }
}

/// Adds `dyᵀ rms_norm(x)` to each weight's gradient; `E` is what `rms_norm(x)` is kept in.
fn add_weight_gradients<E: Kept>(
    dws: &mut [WeightGradient<Vec<f32>>],
    dys: &[Vec<f32>],
    input: NormInput<'_, [f32]>,
    precision: Precision,
) {
    let width = input.norm.len();
    let tokens = input.x.len() / width;
    let normed = normed::<E>(input);
    let mut packed = Packed::default();
    let normed = packed.par_pack_b(Matrix::new(&normed, tokens, width), precision);
    for (dw, dy) in dws.iter_mut().zip(dys) {
        let dy = Matrix::new(dy, tokens, dy.len() / tokens.max(1));
        add_product(&mut dw.0, dy.t(), Right::from(normed), precision);
    }
}

/// Adds to a block's gradient of the input. Returns its share of the scale's if that is wanted.
fn dx_block(
    dx: &mut [f32],
    input: NormInput<'_, [f32]>,
    dys: &[(&[f32], usize, Factor<'_>)],
    with_scale: bool,
    precision: Precision,
) -> Vec<f32> {
    let width = input.norm.len();
    let rows = input.x.len() / width;
    SCRATCH.with_borrow_mut(|scratch| {
        let dn = sized(&mut scratch.rows, rows * width);
        for (i, (dy, features, factor)) in dys.iter().enumerate() {
            let dy = Matrix::new(dy, rows, *features);
            let dy = scratch.packed.pack_a(dy, precision);
            matmul_packed(dn, width, dy, *factor, i > 0);
        }
        let mut dnorm = Vec::new();
        if with_scale {
            dnorm = vec![0.0; width];
            norm_dw_rows(&mut dnorm, dn, input.x, input.eps);
        }
        norm_dx_rows(dx, dn, input.x, input.norm, input.eps);
        dnorm
    })
}

impl Kernels for Host {
    fn norm_linears(&self, input: NormInput<'_, [f32]>, weights: &[&HostTensor]) -> Vec<Vec<f32>> {
        fn project<E: Kept>(
            input: NormInput<'_, [f32]>,
            weights: &[&HostTensor],
            precision: Precision,
        ) -> Vec<Vec<f32>> {
            let (width, normed) = (input.norm.len(), normed::<E>(input));
            let normed = Matrix::new(&normed, normed.len() / width, width);
            let factors: Vec<_> = weights.iter().map(|w| w.factor_t()).collect();
            products(normed, &factors, precision)
        }
        match self.precision() {
            Precision::F32 => project::<f32>(input, weights, Precision::F32),
            Precision::Bf16 => project::<bf16>(input, weights, Precision::Bf16),
        }
    }

    fn norm_linears_backward(
        &self,
        gradients: &mut NormLinearsGradients<Vec<f32>>,
        dys: Vec<Vec<f32>>,
        input: NormInput<'_, [f32]>,
        weights: &[&HostTensor],
    ) {
        let (width, precision) = (input.norm.len(), self.precision());
        let NormLinearsGradients { dx, dnorm, dws } = gradients;
        let rows = row_block(input.x.len() / width);
        let factors: Vec<(usize, Factor<'_>)> = weights
            .iter()
            .map(|weight| (Self::shape(weight).0, weight.factor()))
            .collect();
        let shares: Vec<Vec<f32>> = dx
            .par_chunks_mut(rows * width)
            .zip(input.x.par_chunks(rows * width))
            .enumerate()
            .map(|(block, (dx, x))| {
                let dys: Vec<_> = dys
                    .iter()
                    .zip(&factors)
                    .map(|(dy, &(features, factor))| {
                        let (first, count) = (block * rows * features, x.len() / width * features);
                        (&dy[first..][..count], features, factor)
                    })
                    .collect();
                dx_block(
                    dx,
                    NormInput { x, ..input },
                    &dys,
                    dnorm.is_some(),
                    precision,
                )
            })
            .collect();
        if let Some(dnorm) = dnorm {
            shares.iter().for_each(|share| add_assign(dnorm, share));
            match precision {
                Precision::F32 => add_weight_gradients::<f32>(dws, &dys, input, precision),
                Precision::Bf16 => add_weight_gradients::<bf16>(dws, &dys, input, precision),
            }
        }
    }

    fn linear_add(
        &self,
        x: &[f32],
        h: &[f32],
        w: &HostTensor,
        dropout: Option<DropoutKey>,
    ) -> Vec<f32> {
        let (width, features) = Self::shape(w);
        let (factor, precision) = (w.factor_t(), self.precision());
        let h = Matrix::new(h, x.len() / width, features);
        let rows = independent_row_block(x.len() / width, precision);
        let add = |first: usize, y: &mut [f32]| {
            SCRATCH.with_borrow_mut(|scratch| {
                let h = h.row_range(first / width, y.len() / width);
                let h = scratch.packed.pack_a(h, precision);
                match dropout {
                    None => matmul_packed(y, width, h, factor, true),
                    Some(key) => {
                        let change = sized(&mut scratch.rows, y.len());
                        matmul_packed(change, width, h, factor, false);
                        add_dropped_rows(y, change, width, first / width, key);
                    }
                }
            });
        };
        changed_copy(x, rows * width, add).0
    }

    fn linear_add_backward(
        &self,
        dy: &[f32],
        h: &[f32],
        w: &HostTensor,
        dropout: Option<DropoutKey>,
        dw: Option<&mut WeightGradient<Vec<f32>>>,
    ) -> Vec<f32> {
        let (width, features) = Self::shape(w);
        let precision = self.precision();
        let tokens = dy.len() / width;
        let dropped = dropout.map(|key| {
            let drop = |first: usize, dy: &mut [f32]| drop_rows(dy, width, first / width, 0, key);
            changed_copy(dy, row_block(tokens) * width, drop).0
        });
        let dy = dropped.as_deref().unwrap_or(dy);
        let dy = Matrix::new(dy, tokens, width);
        if let Some(dw) = dw {
            let h = Matrix::new(h, tokens, features);
            add_product(&mut dw.0, dy.t(), h, precision);
        }
        product(dy, w.factor(), precision)
    }
}
