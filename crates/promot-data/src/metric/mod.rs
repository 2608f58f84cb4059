//! Scores of post-processed outputs, each with its sample count and a confidence margin.

mod accuracy;
mod bleu;
mod bootstrap;
mod exact_match;
mod mcnemar;
mod mean;
mod paired;
mod porter;
mod prepared;
mod rouge;
mod wilson;

use promot_core::MetricKind;
use thiserror::Error;

pub use mcnemar::mcnemar_exact;
pub use mean::{MeanInterval, mean_interval};
pub use paired::{Difference, Paired, paired_difference};

use prepared::Prepared;

/// Two-sided 95% quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// One post-processed output beside every answer that counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What the model said, after the task's post-processing.
    pub output: String,
    /// Accepted answers; at least one.
    pub references: Vec<String>,
}

/// A metric over some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The metric in [0, 100]; higher is better.
    pub value: f64,
    /// Half the width of the 95% confidence interval, in the unit of `value`: of the Wilson
    /// interval for accuracy and exact match, of a bootstrap over rows for BLEU and ROUGE-2.
    pub margin: f64,
    /// How many rows were judged.
    pub samples: usize,
}

/// Why there is no score.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MetricError {
    /// A mean over nothing is no number.
    #[error("no rows to score")]
    NoRows,
    /// A row cannot be judged.
    #[error("row {row} has no reference")]
    NoReferences {
        /// The row's position among those given, from 0.
        row: usize,
    },
    /// Models can be compared on the same rows only.
    #[error("{model} outputs of one model, {against} of the other: these are not the same rows")]
    Unpaired {
        /// Outputs of one model.
        model: usize,
        /// Outputs of the model that it is compared with.
        against: usize,
    },
}

impl MetricError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoRows => "give the evaluation at least one row",
            Self::NoReferences { .. } => "every row needs at least one accepted answer",
            Self::Unpaired { .. } => "evaluate both models on the same rows",
        }
    }
}

/// Scores `rows` by `kind`.
///
/// The same rows give the same bits, margin included: the bootstrap has a fixed seed.
///
/// ```
/// use promot_core::MetricKind;
/// use promot_data::metric::{Judged, score};
///
/// let rows = [Judged {
///     output: "The Beatles!".into(),
///     references: vec!["Beatles".into(), "Fab Four".into()],
/// }];
/// let score = score(MetricKind::ExactMatch, &rows)?;
/// assert_eq!((score.value, score.samples), (100.0, 1));
/// # Ok::<(), promot_data::metric::MetricError>(())
/// ```
///
/// # Errors
/// If there is no row, or a row without references.
pub fn score(kind: MetricKind, rows: &[Judged]) -> Result<Score, MetricError> {
    let prepared = Prepared::new(kind, rows)?;
    let margin = match &prepared {
        Prepared::Right(rows) => {
            let right = rows.iter().filter(|&&right| right).count();
            share_margin(right, rows.len())
        }
        _ => bootstrap::half_width(rows.len(), |drawn| prepared.over(drawn.iter().copied())),
    };
    Ok(Score {
        value: prepared.over_all(),
        margin,
        samples: rows.len(),
    })
}

/// Each row's own score, whose mean is the metric: 0 or 100 for accuracy and exact match, the
/// F-measure in [0, 100] for ROUGE-2; `None` for BLEU, which a corpus has and a row has not.
///
/// # Errors
/// As [`score`].
pub fn row_scores(kind: MetricKind, rows: &[Judged]) -> Result<Option<Vec<f64>>, MetricError> {
    let prepared = Prepared::new(kind, rows)?;
    let each = |row| prepared.over(std::iter::once(row));
    Ok(match prepared {
        Prepared::Bleu(_) => None,
        _ => Some((0..rows.len()).map(each).collect()),
    })
}

/// Half the width of the 95% interval of a share of `hits` in `rows` (at least one), in percent: of the
/// Wilson interval, as for accuracy.
pub fn share_margin(hits: usize, rows: usize) -> f64 {
    100.0 * wilson::half_width(hits, rows)
}

/// Whether accuracy can ever take an answer for `label`: it looks at the first word.
pub(crate) fn is_one_word(label: &str) -> bool {
    accuracy::can_be_right(label)
}

/// The normalised average over evaluation tasks: the plain mean of their scores, which are all in
/// [0, 100]; `None` for no task.
pub fn normalized_average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether Python's `str.split()` and `str.rstrip()` take `c` for white space: Unicode's white
/// space and the four ASCII information separators. The reference implementations are in Python.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests;
