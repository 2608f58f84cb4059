//! The bootstrap over rows, for metrics without an interval in closed form.

use promot_core::Seed;
use rand::Rng as _;

use super::Z_95;

/// How many times the rows are drawn again.
const RESAMPLES: u64 = 200;

/// Half the width of the 95% interval of `statistic` over resampled `rows` (at least one row).
///
/// It is 1.96 standard deviations of the resampled values rather than half the distance of their
/// percentiles: with this few resamples the latter is off by 7%, this by 5%.
///
/// `statistic` takes row numbers, drawn with replacement and as many as there are rows. The draws
/// depend on the number of rows alone, so two models measured on the same rows are resampled alike.
pub(super) fn half_width(rows: usize, mut statistic: impl FnMut(&[usize]) -> f64) -> f64 {
    let mut drawn = vec![0; rows];
    let values: Vec<f64> = (0..RESAMPLES)
        .map(|resample| {
            let mut stream = Seed::new(0).indexed_stream("metric", "bootstrap", resample);
            drawn.fill_with(|| stream.random_range(0..rows));
            statistic(&drawn)
        })
        .collect();
    let mean = values.iter().sum::<f64>() / RESAMPLES as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Z_95 * (squares / (RESAMPLES - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_normal_interval_of_a_mean() {
        let rows: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let mean = |drawn: &[usize]| drawn.iter().map(|&i| rows[i]).sum::<f64>() / 400.0;
        // The standard deviation of 0..20 is sqrt((20^2 - 1) / 12).
        let expected = Z_95 * (399.0_f64 / 12.0).sqrt() / 20.0;
        let found = half_width(400, mean);
        assert!((found / expected - 1.0).abs() < 0.12, "{found} {expected}");
        assert_eq!(found.to_bits(), half_width(400, mean).to_bits());
    }

    #[test]
    fn equal_rows_have_no_spread() {
        assert_eq!(half_width(7, |_| 3.0), 0.0);
        assert_eq!(half_width(1, |drawn| drawn[0] as f64), 0.0);
    }
}
