//! Scalar functions without branches, so that loops over them become vector instructions.

/// `exp(x)`, within 2 units in the last place of f32; 0 below -87 (where f32 underflows) and
/// finite above 88.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer in f32 arithmetic.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // The low bits of `shifted` are `n` as an integer: 2^n without a conversion.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { y * power }
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// How many values loops with a running maximum or sum handle side by side: enough vector registers
/// that none waits for the one before, and always as many, so that the order of sums is fixed.
pub(super) const LANES: usize = 32;

/// Whole blocks of `x`, and a last one that is filled up with `padding`: no rest is left to slow
/// scalar code.
#[inline(always)]
fn blocks(x: &[f32], padding: f32) -> (&[[f32; LANES]], [f32; LANES]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut last = [padding; LANES];
    last[..rest.len()].copy_from_slice(rest);
    (blocks, last)
}

/// The largest value that is a number; minus infinity of none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let (blocks, last) = blocks(x, f32::NEG_INFINITY);
    let mut lanes = last.map(|x| larger(f32::NEG_INFINITY, x));
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], block[lane]);
        }
    }
    max_of(lanes)
}

/// The largest of all lanes, by halves: a chain would wait for each of them. `N` is a power of two.
#[inline(always)]
pub(super) fn max_of<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = larger(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// One instruction, where `f32::max` is three; `a` if `b` is not a number.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The sum of all values.
#[inline(always)]
pub(super) fn sum(x: &[f32]) -> f32 {
    let (blocks, mut lanes) = blocks(x, 0.0);
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += block[lane];
        }
    }
    lanes.iter().sum()
}

/// The sum of `exp(x - shift)`.
#[inline(always)]
pub(crate) fn exp_sum(x: &[f32], shift: f32) -> f32 {
    let mut sums = [0.0; LANES];
    add_exponentials::<false>(&mut sums, x, shift);
    sums.iter().sum()
}

/// Adds `exp(x - shift)` to sums side by side: what matters is the sum of them all. With `LENIENT`, what is no
/// number adds nothing.
#[inline(always)]
pub(super) fn add_exponentials<const LENIENT: bool>(
    sums: &mut [f32; LANES],
    x: &[f32],
    shift: f32,
) {
    let mut add = |block: &[f32; LANES]| {
        for lane in 0..LANES {
            let x = block[lane];
            let x = if LENIENT {
                larger(f32::NEG_INFINITY, x)
            } else {
                x
            };
            sums[lane] += exp(x - shift);
        }
    };
    let (blocks, last) = blocks(x, f32::NEG_INFINITY);
    add(&last);
    blocks.iter().for_each(add);
}

/// A pseudo-random 64-bit number for an element: SplitMix64 of a key and a counter.
#[inline(always)]
pub(super) fn counter_hash(key: u64, counter: u64) -> u64 {
    let mut z = key ^ counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A pseudo-random 32-bit number for an element: two multiplications (the constants are those of
/// `lowbias32`, found by search for the least bias), with half of the key before each.
#[inline(always)]
pub(super) fn counter_hash32(keys: [u32; 2], counter: u32) -> u32 {
    let mut z = counter.wrapping_mul(0x9e37_79b9) ^ keys[0];
    z = (z ^ (z >> 16)).wrapping_mul(0x7feb_352d);
    z = (z ^ (z >> 15) ^ keys[1]).wrapping_mul(0x846c_a68b);
    z ^ (z >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_sigmoid_are_close_to_the_exact_functions() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}): relative error {error:e}");
            let error = (f64::from(sigmoid(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs();
            assert!(error < 2e-7, "sigmoid({x}): error {error:e}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_handle_every_length() {
        for length in (0..40).chain([70]) {
            let x: Vec<f32> = (0..length).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&x), largest);
            for place in 0..length {
                let mut with_nan = x.clone();
                with_nan[place] = f32::NAN;
                let others = with_nan.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(max(&with_nan), others, "{length}, no number at {place}");
            }
            assert_eq!(sum(&x), x.iter().sum::<f32>());
            let expected: f64 = x.iter().map(|&x| f64::from(x - 2.0).exp()).sum();
            let sum = exp_sum(&x, 2.0);
            assert!((f64::from(sum) - expected).abs() <= 1e-5 * expected);
        }
    }
}
