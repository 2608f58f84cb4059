//! The arithmetic of `tdpbf16ps`.

use crate::tiles::{MOST, Tile};

/// `c += a b`: pairs of bf16 times pairs of bf16, f32 sums. The shapes fit.
///
/// As the manual has it: for each sum of `c`, those of the first and of the second numbers of the pairs by
/// themselves, one fused multiply-add after another from zero on; then both are added up, and that to `c`.
/// Numbers too small to be normal are zeros, before and after.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn add_products(c: &mut Tile, a: &Tile, b: &Tile) {
    let right = b
        .words
        .map(|row| [0, 1].map(|half| row.map(|word| number(word, half))));
    for (c, a) in c.words.iter_mut().zip(&a.words).take(c.rows) {
        let mut sums = [[0.0_f32; MOST]; 2];
        for (word, right) in a.iter().zip(&right).take(b.rows) {
            for (half, (sums, right)) in sums.iter_mut().zip(right).enumerate() {
                let left = number(*word, half);
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = flushed(left.mul_add(*right, *sum));
                }
            }
        }
        let [first, second] = sums;
        for (c, (first, second)) in c.iter_mut().zip(first.into_iter().zip(second)) {
            let sum = flushed(f32::from_bits(*c)) + flushed(first + second);
            *c = flushed(sum).to_bits();
        }
    }
}

/// The first (0) or second (1) bf16 of a word.
#[inline(always)]
fn number(word: u32, half: usize) -> f32 {
    let bits = [word << 16, word & 0xffff_0000][half];
    flushed(f32::from_bits(bits))
}

/// Zero, with its sign, for what is not normal.
#[inline(always)]
fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE {
        0.0_f32.copysign(x)
    } else {
        x
    }
}
