//! Normalisation on the CPU; the inverse RMS is cheaper to compute again than to keep.

use super::Kernels;
use crate::backend::Host;
use crate::gemm::vectorized;
use crate::ops::parallel::{for_row_blocks, sum_row_blocks};

/// Partial sums a vector register's worth at a time, added up in a fixed order.
const LANES: usize = 16;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

vectorized! {
    pub(in crate::ops) fn norm_rows(y: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
        let width = w.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let scale = inverse_rms(x, eps);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = x * scale * w;
            }
        }
    }

    pub(in crate::ops) fn norm_dx_rows(dx: &mut [f32], dy: &[f32], x: &[f32], w: &[f32], eps: f32) {
        let width = w.len();
        let mut scaled = vec![0.0; width];
        let rows = dy.chunks_exact(width).zip(x.chunks_exact(width));
        for (dx, (dy, x)) in dx.chunks_exact_mut(width).zip(rows) {
            for ((scaled, dy), w) in scaled.iter_mut().zip(dy).zip(w) {
                *scaled = dy * w;
            }
            let scale = inverse_rms(x, eps);
            let along = dot(&scaled, x) * scale * scale * scale / width as f32;
            for ((dx, scaled), x) in dx.iter_mut().zip(&scaled).zip(x) {
                *dx += scaled * scale - x * along;
            }
        }
    }

    pub(in crate::ops) fn norm_dw_rows(dw: &mut [f32], dy: &[f32], x: &[f32], eps: f32) {
        let width = dw.len();
        for (dy, x) in dy.chunks_exact(width).zip(x.chunks_exact(width)) {
            let scale = inverse_rms(x, eps);
            for ((dw, dy), x) in dw.iter_mut().zip(dy).zip(x) {
                *dw += dy * x * scale;
            }
        }
    }
}

impl Kernels for Host {
    fn rms_norm(&self, x: &[f32], w: &[f32], width: usize, eps: f32) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        for_row_blocks(&mut y, width, |first, y| {
            norm_rows(y, &x[first * width..], w, eps);
        });
        y
    }

    fn rms_norm_dx(&self, dx: &mut [f32], dy: &[f32], x: &[f32], w: &[f32], eps: f32) {
        let width = w.len();
        for_row_blocks(dx, width, |first, dx| {
            norm_dx_rows(dx, &dy[first * width..], &x[first * width..], w, eps);
        });
    }

    fn rms_norm_dw(&self, dw: &mut [f32], dy: &[f32], x: &[f32], eps: f32) {
        let width = dw.len();
        sum_row_blocks(dw, x.len() / width, |first, end, sum| {
            let rows = first * width..end * width;
            norm_dw_rows(sum, &dy[rows.clone()], &x[rows], eps);
        });
    }
}
