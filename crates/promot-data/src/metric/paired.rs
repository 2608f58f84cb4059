//! Whether one model is better than another on the same rows: the paired bootstrap (Koehn, 2004,
//! "Statistical significance tests for machine translation evaluation").

use promot_core::{MetricKind, Seed};
use rand::Rng as _;

use super::prepared::Prepared;
use super::{Judged, MetricError, normalized_average};

/// How many times the rows are drawn again: an end of the interval is the 25th value from there.
const RESAMPLES: u64 = 1000;

/// Two models' outputs on the same rows of a task, row by row.
#[derive(Clone, Debug)]
pub struct Paired {
    /// The task's metric.
    pub kind: MetricKind,
    /// What one model said.
    pub model: Vec<Judged>,
    /// What the model said that it is compared with.
    pub against: Vec<Judged>,
}

/// How much better a model is than another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Score less the other's score, in [-100, 100].
    pub value: f64,
    /// The lower end of the 95% interval.
    pub low: f64,
    /// The upper end of the 95% interval.
    pub high: f64,
}

/// The difference between two models' mean scores over `tasks` (over the rows of a single one: of
/// its score), with percentiles of 1000 resamples of each task's rows.
///
/// A resample takes the same rows of both models, which leaves out of the interval how much harder
/// some rows are than others. The same rows give the same bits: the bootstrap has a fixed seed.
///
/// ```
/// use promot_core::MetricKind;
/// use promot_data::metric::{Judged, Paired, paired_difference};
///
/// let rows = |right: usize| {
///     let answer = |row| if row < right { "True" } else { "False" };
///     let judged = |row| Judged { output: answer(row).into(), references: vec!["True".into()] };
///     (0..100).map(judged).collect()
/// };
/// let kind = MetricKind::Accuracy;
/// let difference = paired_difference(&[Paired { kind, model: rows(80), against: rows(60) }])?;
/// assert_eq!(difference.value, 20.0);
/// assert!(difference.low > 10.0 && difference.high < 30.0);
/// # Ok::<(), promot_data::metric::MetricError>(())
/// ```
///
/// # Errors
/// If there is no task or no row, a row without references, or if a task's models were asked
/// differently many rows.
pub fn paired_difference(tasks: &[Paired]) -> Result<Difference, MetricError> {
    let mut prepared = Vec::with_capacity(tasks.len());
    for task in tasks {
        let (model, against) = (task.model.len(), task.against.len());
        if model != against {
            return Err(MetricError::Unpaired { model, against });
        }
        let model = Prepared::new(task.kind, &task.model)?;
        prepared.push((model, Prepared::new(task.kind, &task.against)?));
    }
    let mean = |differences: Vec<f64>| normalized_average(&differences).ok_or(MetricError::NoRows);
    let whole = |(model, against): &(Prepared, Prepared)| model.over_all() - against.over_all();
    let value = mean(prepared.iter().map(whole).collect())?;

    let mut resampled = Vec::with_capacity(RESAMPLES as usize);
    let mut drawn = Vec::new();
    for resample in 0..RESAMPLES {
        let mut stream = Seed::new(0).indexed_stream("metric", "paired bootstrap", resample);
        let differences = prepared.iter().map(|(model, against)| {
            let rows = model.len();
            drawn.clear();
            drawn.extend((0..rows).map(|_| stream.random_range(0..rows)));
            model.over(drawn.iter().copied()) - against.over(drawn.iter().copied())
        });
        resampled.push(mean(differences.collect())?);
    }
    resampled.sort_by(f64::total_cmp);
    // The 2.5th and the 97.5th percentile.
    let tail = (RESAMPLES / 40) as usize;
    Ok(Difference {
        value,
        low: resampled[tail],
        high: resampled[RESAMPLES as usize - 1 - tail],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(output: &str, reference: &str) -> Judged {
        Judged {
            output: output.into(),
            references: vec![reference.into()],
        }
    }

    /// Labels, of which `right(row)` are right.
    fn labels(rows: usize, right: impl Fn(usize) -> bool) -> Vec<Judged> {
        let label = |row| if right(row) { "True" } else { "False" };
        (0..rows).map(|row| judged(label(row), "True")).collect()
    }

    fn accuracy(model: Vec<Judged>, against: Vec<Judged>) -> Paired {
        Paired {
            kind: MetricKind::Accuracy,
            model,
            against,
        }
    }

    #[test]
    fn agrees_with_the_normal_interval_of_the_mean_difference() {
        // 30 of 200 rows are won, 10 are lost, the others are equal.
        let model = labels(200, |row| !(30..100).contains(&row));
        let against = labels(200, |row| (30..40).contains(&row) || row >= 100);
        let found = paired_difference(&[accuracy(model, against)]).unwrap();
        let variance = 0.2 - 0.1 * 0.1;
        let expected = 1.96 * 100.0 * f64::sqrt(variance / 200.0);
        assert!((found.value - 10.0).abs() < 1e-9);
        let half = (found.high - found.low) / 2.0;
        assert!((half / expected - 1.0).abs() < 0.12, "{half} {expected}");
        assert!((f64::midpoint(found.low, found.high) - 10.0).abs() < 0.5);
    }

    #[test]
    fn what_two_models_have_in_common_does_not_widen_the_interval() {
        let same = labels(50, |row| row % 3 == 0);
        let found = paired_difference(&[accuracy(same.clone(), same)]).unwrap();
        assert_eq!((found.value, found.low, found.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn several_tasks_count_alike_whatever_their_metric_and_number_of_rows() {
        let translation = |output: &str| vec![judged(output, "the cat sat on the mat"); 7];
        let tasks = [
            accuracy(labels(100, |_| true), labels(100, |_| false)),
            Paired {
                kind: MetricKind::Bleu,
                model: translation("dogs run"),
                against: translation("the cat sat on the mat"),
            },
            Paired {
                kind: MetricKind::Rouge2,
                model: translation("the cat sat on the mat"),
                against: translation("dogs"),
            },
        ];
        let found = paired_difference(&tasks).unwrap();
        for end in [found.value, found.low, found.high] {
            assert!((end - 100.0 / 3.0).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(paired_difference(&tasks), Ok(found));
    }

    #[test]
    fn rows_that_do_not_belong_together_are_refused() {
        let uneven = accuracy(labels(3, |_| true), labels(2, |_| true));
        let error = paired_difference(&[uneven]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "3 outputs of one model, 2 of the other: these are not the same rows"
        );
        assert_eq!(paired_difference(&[]), Err(MetricError::NoRows));
        let none = accuracy(Vec::new(), Vec::new());
        assert_eq!(paired_difference(&[none]), Err(MetricError::NoRows));
    }
}
