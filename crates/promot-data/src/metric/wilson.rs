//! The Wilson score interval of a share: unlike the normal approximation it has a width at 0% and
//! at 100% too, where many of the shares measured here are.

use super::Z_95 as Z;

/// Half the width of the 95% interval for `right` of `samples` rows (at least one), as a share.
pub(super) fn half_width(right: usize, samples: usize) -> f64 {
    let n = samples as f64;
    let p = right as f64 / n;
    let spread = (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Z * spread / (1.0 + Z * Z / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_published_intervals() {
        // Newcombe (1998), Table I, method 3: 81/263 -> 0.2553..0.3662, 15/148 -> 0.0624..0.1605,
        // 0/20 -> 0..0.1611, 1/29 -> 0.0061..0.1718.
        for (right, samples, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let expected = (high - low) / 2.0;
            let found = half_width(right, samples);
            assert!((found - expected).abs() < 1e-4, "{right}/{samples} {found}");
        }
    }

    #[test]
    fn is_symmetric_and_shrinks_with_more_rows() {
        assert!((half_width(3, 10) - half_width(7, 10)).abs() < 1e-15);
        assert!(half_width(300, 1000) < half_width(30, 100));
        assert!(half_width(100, 100) > 0.0);
    }
}
