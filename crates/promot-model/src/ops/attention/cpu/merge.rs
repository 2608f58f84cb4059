//! The weighted mean of outputs of attention, a query and head at a time.

use crate::gemm::vectorized;
use crate::ops::parallel::for_row_blocks;

/// The mean of the parts' outputs, `(Tq, H * d_kv)`, weighted by the exponentials of their
/// log-sum-exps, `(Tq, H)`.
pub(super) fn merge(parts: &[(&[f32], &[f32])], d_kv: usize) -> Vec<f32> {
    let mut y = vec![0.0; parts[0].0.len()];
    for_row_blocks(&mut y, d_kv, |first, y| merge_heads(y, parts, d_kv, first));
    y
}

vectorized! {
    /// Heads from `first` on, counted over all queries.
    fn merge_heads(y: &mut [f32], parts: &[(&[f32], &[f32])], d_kv: usize, first: usize) {
        for (head, y) in (first..).zip(y.chunks_exact_mut(d_kv)) {
            let top = parts.iter().map(|part| part.1[head]).fold(f32::NEG_INFINITY, f32::max);
            if top == f32::NEG_INFINITY {
                continue;
            }
            let mut sum = 0.0;
            for (part, log_sum_exp) in parts {
                let weight = (log_sum_exp[head] - top).exp();
                sum += weight;
                for (y, part) in y.iter_mut().zip(&part[head * d_kv..]) {
                    *y += weight * part;
                }
            }
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}
