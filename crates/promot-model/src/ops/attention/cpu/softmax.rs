//! Rows of scores to probabilities, and the gradients of the one to those of the other.
//!
//! Exponents are in base 2: biases and the log-sum-exp come multiplied by [`LOG2_E`], which leaves
//! less to do for each score.

use std::f32::consts::{LN_2, LOG2_E};

use super::head::Head;
use super::wide::{LANES, sum_of};
use crate::ops::math::{larger, max_of};

/// `2^x` within 2 units in the last place for `x` from -125 to 127; below, what it is at -125.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer in f32 arithmetic.
    const ROUND: f32 = 12_582_912.0;
    // In this order, no number stays no number.
    let x = larger(x, -125.0);
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    let p = r.mul_add(1.535_336_2e-4, 1.339_887_4e-3);
    let p = r.mul_add(p, 9.618_437e-3);
    let p = r.mul_add(p, 5.550_332_5e-2);
    let p = r.mul_add(p, 2.402_264_8e-1);
    let p = r.mul_add(p, 6.931_472e-1);
    let p = r.mul_add(p, 1.0);
    // The low bits of `shifted` are the integer: a power of two without a conversion.
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `2^(score - top)` in place of the first `visible` scores and 0 in place of the others, where the
/// scores are `scale * score + bias` in base 2 and `top` is the largest. Returns `top` and the sum,
/// which are minus infinity and 1 if no key is visible.
///
/// `row` and `biases` are whole vectors long.
#[inline(always)]
pub(super) fn softmax_row(
    row: &mut [f32],
    biases: &[f32],
    scale: f32,
    visible: usize,
) -> (f32, f32) {
    let scale = scale * LOG2_E;
    for (score, bias) in row.iter_mut().zip(biases) {
        *score = score.mul_add(scale, *bias);
    }
    hide_rest(row, visible, f32::NEG_INFINITY);
    let mut tops = [f32::NEG_INFINITY; LANES];
    for scores in vectors(row) {
        for lane in 0..LANES {
            tops[lane] = larger(tops[lane], scores[lane]);
        }
    }
    let top = max_of(tops);
    let mut sums = [0.0; LANES];
    for scores in vectors_mut(row) {
        for lane in 0..LANES {
            scores[lane] = exp2(scores[lane] - top);
            sums[lane] += scores[lane];
        }
    }
    hide_rest(row, visible, 0.0);
    if visible == 0 {
        return (f32::NEG_INFINITY, 1.0);
    }
    (top, sum_of(sums))
}

/// Divides sums over exponentials by the `sums` of these, and writes the (natural) log-sum-exp: what
/// is divided are fewer numbers than the exponentials. Both outputs start at the head's first
/// column.
#[inline(always)]
pub(super) fn normalize_rows(
    y: &mut [f32],
    log_sum_exp: &mut [f32],
    tops: &[f32],
    sums: &[f32],
    head: Head<'_>,
) {
    let rows = y
        .chunks_mut(head.width())
        .zip(log_sum_exp.chunks_mut(head.heads()));
    for ((y, log_sum_exp), (top, sum)) in rows.zip(tops.iter().zip(sums)) {
        log_sum_exp[0] = normalize(&mut y[..head.d()], *top, *sum);
    }
}

/// Divides a sum over exponentials by the `sum` of these; returns the (natural) log-sum-exp.
#[inline(always)]
pub(super) fn normalize(y: &mut [f32], top: f32, sum: f32) -> f32 {
    let factor = 1.0 / sum;
    y.iter_mut().for_each(|y| *y *= factor);
    top * LN_2 + sum.ln()
}

/// Overwrites what lies beyond the first `visible` values of `row` with `value`.
#[inline(always)]
pub(super) fn hide_rest(row: &mut [f32], visible: usize, value: f32) {
    let whole = visible.next_multiple_of(LANES);
    if whole < row.len() {
        row[whole..].fill(value);
    }
    // Mostly there is no more than this: one vector without a branch or a call.
    if let Some(last) = vectors_mut(&mut row[visible / LANES * LANES..]).first_mut() {
        let shown = (visible % LANES) as u32;
        for (lane, last) in (0..).zip(last) {
            *last = if lane < shown { *last } else { value };
        }
    }
}

/// What the backward pass knows about the queries along a row: whole vectors each.
#[derive(Clone, Copy)]
pub(super) struct AlongQueries<'a> {
    /// In base 2.
    pub(super) biases: &'a [f32],
    /// In base 2.
    pub(super) log_sum_exp: &'a [f32],
    /// `sum(p * dp)` of each query, which equals `dy · y`.
    pub(super) along: &'a [f32],
    /// Dropout factors, if there is dropout.
    pub(super) factors: Option<&'a [f32]>,
}

/// Scores to probabilities as they were used (with dropout), and their gradients `dp` to those of
/// the scores, `p * (dp - sum(p * dp))`. Hidden ones are not zeroed.
#[inline(always)]
pub(super) fn gradient_row(
    scores: &mut [f32],
    gradients: &mut [f32],
    scale: f32,
    queries: AlongQueries<'_>,
) {
    let scale = scale * LOG2_E;
    let rows = scores.iter_mut().zip(gradients);
    let numbers = queries
        .biases
        .iter()
        .zip(queries.log_sum_exp)
        .zip(queries.along);
    match queries.factors {
        None => {
            for ((s, dp), ((bias, log_sum_exp), along)) in rows.zip(numbers) {
                let p = exp2(s.mul_add(scale, bias - log_sum_exp));
                *s = p;
                *dp = p * (*dp - along);
            }
        }
        Some(factors) => {
            let numbers = numbers.zip(factors);
            for ((s, dp), (((bias, log_sum_exp), along), factor)) in rows.zip(numbers) {
                let p = exp2(s.mul_add(scale, bias - log_sum_exp));
                *s = p * factor;
                *dp = p * dp.mul_add(*factor, -along);
            }
        }
    }
}

#[inline(always)]
fn vectors(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}

#[inline(always)]
fn vectors_mut(values: &mut [f32]) -> &mut [[f32; LANES]] {
    values.as_chunks_mut().0
}
