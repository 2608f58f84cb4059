//! Loops over 16 values side by side.

use crate::gemm::Element;

/// Values that loops handle side by side, whatever the processor: the order of all sums is fixed.
pub(super) const LANES: usize = 16;

/// `length` rounded up to whole vectors: rows of scores leave no rest to slow scalar code.
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(LANES)
}

/// The sum of all lanes, by halves.
#[inline(always)]
pub(super) fn sum_of(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The inner products of `a(0)` and `b(0)`, `a(1)` and `b(1)`, and so on: at most as many as there
/// are lanes.
#[inline(always)]
pub(super) fn dots<'x, E: Element>(
    products: &mut [f32],
    a: impl Fn(usize) -> &'x [f32],
    b: impl Fn(usize) -> &'x [E],
) {
    // Sums lane by lane, in memory: added up at once, the compiler takes them for a chain of
    // scalar sums.
    let mut sums = [[0.0; LANES]; LANES];
    for (j, sums) in sums.iter_mut().take(products.len()).enumerate() {
        let mut lanes = [0.0; LANES];
        let vectors = a(j)
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(b(j).as_chunks::<LANES>().0);
        for (a, b) in vectors {
            for lane in 0..LANES {
                lanes[lane] = a[lane].mul_add(b[lane].to_f32(), lanes[lane]);
            }
        }
        *sums = lanes;
    }
    for (j, (product, sums)) in products.iter_mut().zip(&sums).enumerate() {
        let rest = a(j)
            .as_chunks::<LANES>()
            .1
            .iter()
            .zip(b(j).as_chunks::<LANES>().1);
        let rest: f32 = rest.map(|(a, b)| a * b.to_f32()).sum();
        *product = sum_of(*sums) + rest;
    }
}
