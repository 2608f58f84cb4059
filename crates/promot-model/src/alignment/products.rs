//! Inner products of two gradients.

use std::iter::Sum;

use rayon::prelude::*;

use crate::ops::parallel::BLOCK_VALUES;

/// The inner products of two vectors with themselves and each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Products {
    one: f64,
    other: f64,
    both: f64,
}

impl Products {
    /// Of two vectors of one length: blocks of fixed size, whose sums are added up in order.
    pub(super) fn of(one: &[f32], other: &[f32]) -> Self {
        assert_eq!(one.len(), other.len(), "gradients of one parameter");
        let blocks = one
            .par_chunks(BLOCK_VALUES)
            .zip(other.par_chunks(BLOCK_VALUES));
        let blocks: Vec<Self> = blocks
            .map(|(one, other)| Self::of_block(one, other))
            .collect();
        blocks.into_iter().sum()
    }

    fn of_block(one: &[f32], other: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&one, &other) in one.iter().zip(other) {
            let (one, other) = (f64::from(one), f64::from(other));
            sums.one += one * one;
            sums.other += other * other;
            sums.both += one * other;
        }
        sums
    }

    /// Whether all values of both vectors are finite: no square of an `f32` is too large for `f64`.
    pub(super) fn are_finite(&self) -> bool {
        self.one.is_finite() && self.other.is_finite()
    }

    /// The cosine of the angle between the vectors, unless one of them is zero.
    pub(super) fn cosine(&self) -> Option<f64> {
        // The root of the product, not the product of roots: exactly 1 for equal vectors.
        let norms = (self.one * self.other).sqrt();
        (norms > 0.0).then(|| (self.both / norms).clamp(-1.0, 1.0))
    }
}

impl Sum for Products {
    fn sum<I: Iterator<Item = Self>>(products: I) -> Self {
        products.fold(Self::default(), |sum, more| Self {
            one: sum.one + more.one,
            other: sum.other + more.other,
            both: sum.both + more.both,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_those_of_geometry() {
        let cosine = |one: &[f32], other: &[f32]| Products::of(one, other).cosine();
        assert_eq!(cosine(&[3.0, 4.0], &[3.0, 4.0]), Some(1.0));
        assert_eq!(cosine(&[3.0, 4.0], &[-6.0, -8.0]), Some(-1.0));
        assert_eq!(cosine(&[3.0, 4.0], &[-4.0, 3.0]), Some(0.0));
        let half = cosine(&[1.0, 0.0], &[1.0, 3.0f32.sqrt()]).unwrap();
        assert!((half - 0.5).abs() < 1e-7, "{half}");
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), None);
        let apart = cosine(&[1e-30, 2e-30], &[1e30, 2e30]).unwrap();
        assert!((apart - 1.0).abs() < 1e-15, "{apart}");
    }

    #[test]
    fn blocks_add_up_to_the_whole_in_any_number_of_threads() {
        let values = |shift: usize| -> Vec<f32> {
            let number = |i: usize| ((i + shift) * 7919 % 1009) as f32 / 500.0 - 1.0;
            (0..3 * BLOCK_VALUES + 77).map(number).collect()
        };
        let (one, other) = (values(0), values(5));
        let both: f64 = one
            .iter()
            .zip(&other)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| Products::of(&one, &other))
        };
        assert!((on(1).both - both).abs() < 1e-9 * both.abs().max(1.0));
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn what_is_no_number_shows() {
        for value in [f32::NAN, f32::INFINITY] {
            assert!(!Products::of(&[1.0, value], &[1.0, 1.0]).are_finite());
            assert!(!Products::of(&[1.0, 1.0], &[value, 1.0]).are_finite());
        }
        assert!(Products::of(&[f32::MAX; 4], &[f32::MAX; 4]).are_finite());
    }
}
