//! Means of few values, such as those of several seeds.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// A mean and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// Half of its 95% interval by Student's t distribution; none of a single value.
    pub margin: Option<f64>,
}

/// The mean of `values` with its 95% interval, which takes them for independent draws of a normal
/// distribution; `None` if there are none.
///
/// ```
/// use promot_data::metric::mean_interval;
///
/// let of_three = mean_interval(&[1.0, 2.0, 3.0]).unwrap();
/// assert_eq!(of_three.mean, 2.0);
/// // As scipy.stats.t.interval(0.95, 2, loc=2, scale=3 ** -0.5) has it.
/// assert!((of_three.margin.unwrap() - 2.484137711719546).abs() < 1e-6);
/// assert_eq!(mean_interval(&[1.0]).unwrap().margin, None);
/// ```
pub fn mean_interval(values: &[f64]) -> Option<MeanInterval> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let margin = (values.len() > 1).then(|| {
        let error = (squares / (count - 1.0) / count).sqrt();
        let quantile = StudentsT::new(0.0, 1.0, count - 1.0).expect("positive degrees of freedom");
        quantile.inverse_cdf(0.975) * error
    });
    Some(MeanInterval { mean, margin })
}
