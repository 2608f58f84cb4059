//! A mean with the 95% interval of Student's t distribution: for a few measurements of one quantity.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// A mean, and where that of many more measurements lies with 95% confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The mean of `values` with its interval; none of fewer than two values, which have no spread.
pub fn mean_interval(values: &[f64]) -> Option<MeanInterval> {
    let n = values.len() as f64;
    // One degree of freedom at least, or there is no such distribution.
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    let margin = student.inverse_cdf(0.975) * error;
    Some(MeanInterval {
        mean,
        low: mean - margin,
        high: mean + margin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_published_ones() {
        // The two-sided 95% column of any table of Student's t.
        for (n, quantile) in [
            (2, 12.706_205),
            (3, 4.302_653),
            (8, 2.364_624),
            (31, 2.042_272),
        ] {
            // Half of the values 1 above, half 1 below, and 0 if they are odd.
            let values: Vec<f64> = (0..n)
                .map(|i| match i {
                    _ if n % 2 == 1 && i == 0 => 0.0,
                    _ if i % 2 == 0 => 1.0,
                    _ => -1.0,
                })
                .collect();
            let found = mean_interval(&values).unwrap();
            let squares = (n - n % 2) as f64;
            let error = (squares / (n - 1) as f64 / n as f64).sqrt();
            assert!(
                (found.high / error - quantile).abs() < 1e-5,
                "{n}: {found:?}"
            );
            assert!((found.low + found.high).abs() < 1e-12, "{found:?}");
            assert!(found.mean.abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn equal_values_have_no_spread_and_one_value_no_interval() {
        let found = mean_interval(&[0.5; 4]).unwrap();
        assert_eq!((found.low, found.mean, found.high), (0.5, 0.5, 0.5));
        assert_eq!(mean_interval(&[0.5]), None);
        assert_eq!(mean_interval(&[]), None);
    }
}
