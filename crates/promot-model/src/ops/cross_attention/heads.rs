//! Products of a weight's rows by head: head `h` of `w`, `(H * d_kv, D)`, is its rows from `h * d_kv` on.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::backend::{Device as _, Host, HostTensor};
use crate::gemm::{Matrix, Packed, Part, Precision, matmul_part, matmul_serial};
use crate::ops::parallel::row_block;

thread_local! {
    static PACKED: RefCell<Packed> = RefCell::default();
}

/// `x_h w_h` for each head: `x` is `(T, H * d_kv)`, the result `(T * H, D)`, a row for each head of a
/// token.
pub(super) fn to_states(x: &[f32], w: &HostTensor, heads: usize, precision: Precision) -> Vec<f32> {
    let (features, width) = Host::shape(w);
    let (d_kv, tokens) = (features / heads, x.len() / features);
    let (factor, rows) = (w.factor(), row_block(tokens));
    let mut y = vec![0.0; tokens * heads * width];
    y.par_chunks_mut(rows * heads * width)
        .zip(x.par_chunks(rows * features))
        .for_each(|(y, x)| {
            for head in 0..heads {
                let first = head * d_kv;
                let x = Matrix::strided(&x[first..], x.len() / features, d_kv, features);
                let part = Part {
                    first_column: 0,
                    columns: width,
                    first_term: first,
                };
                PACKED.with_borrow_mut(|packed| {
                    let (y, x) = (&mut y[head * width..], packed.pack_a(x, precision));
                    matmul_part(y, heads * width, x, factor, part, false);
                });
            }
        });
    y
}

/// `x_h w_hᵀ` for each head: `x` is `(T * H, D)`, the result `(T, H * d_kv)`.
pub(super) fn from_states(
    x: &[f32],
    w: &HostTensor,
    heads: usize,
    precision: Precision,
) -> Vec<f32> {
    let (features, width) = Host::shape(w);
    let (d_kv, tokens) = (features / heads, x.len() / (heads * width));
    let (factor, rows) = (w.factor_t(), row_block(tokens));
    let mut y = vec![0.0; tokens * features];
    y.par_chunks_mut(rows * features)
        .zip(x.par_chunks(rows * heads * width))
        .for_each(|(y, x)| {
            for head in 0..heads {
                let stride = heads * width;
                let x = Matrix::strided(&x[head * width..], x.len() / stride, width, stride);
                let part = Part {
                    first_column: head * d_kv,
                    columns: d_kv,
                    first_term: 0,
                };
                PACKED.with_borrow_mut(|packed| {
                    let (y, x) = (&mut y[head * d_kv..], packed.pack_a(x, precision));
                    matmul_part(y, features, x, factor, part, false);
                });
            }
        });
    y
}

/// `dw_h += x_hᵀ y_h` for each head: `x` is `(T, H * d_kv)`, `y` `(T * H, D)`, `dw` is of the shape of `w`,
/// zeros if there is none yet.
pub(super) fn add_products_by_head(
    dw: &mut Option<Vec<f32>>,
    w: &HostTensor,
    [x, y]: [&[f32]; 2],
    heads: usize,
    precision: Precision,
) {
    let (features, width) = Host::shape(w);
    let (d_kv, tokens) = (features / heads, x.len() / features);
    let dw = dw.get_or_insert_with(|| vec![0.0; features * width]);
    dw.par_chunks_mut(d_kv * width)
        .enumerate()
        .for_each(|(head, dw)| {
            let x = Matrix::strided(&x[head * d_kv..], tokens, d_kv, features);
            let y = Matrix::strided(&y[head * width..], tokens, width, heads * width);
            matmul_serial(dw, width, x.t(), y, true, precision);
        });
}
