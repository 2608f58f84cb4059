//! Rows that were looked at once, so that a metric over any of them is cheap: what scores and
//! resampling have in common.

use promot_core::MetricKind;

use super::{Judged, MetricError, accuracy, bleu, exact_match, rouge};

/// What a metric needs to know of every row.
pub(super) enum Prepared {
    /// Whether each row is right; the metric is their share.
    Right(Vec<bool>),
    /// N-gram statistics; BLEU is one of their sum.
    Bleu(Vec<bleu::Statistics>),
    /// Each row's score in [0, 1]; the metric is their mean.
    Values(Vec<f64>),
}

impl Prepared {
    /// Looks at `rows`.
    pub(super) fn new(kind: MetricKind, rows: &[Judged]) -> Result<Self, MetricError> {
        if rows.is_empty() {
            return Err(MetricError::NoRows);
        }
        if let Some(row) = rows.iter().position(|row| row.references.is_empty()) {
            return Err(MetricError::NoReferences { row });
        }
        Ok(match kind {
            MetricKind::Accuracy => Self::Right(rows.iter().map(accuracy::is_right).collect()),
            MetricKind::ExactMatch => Self::Right(rows.iter().map(exact_match::is_right).collect()),
            MetricKind::Bleu => Self::Bleu(rows.iter().map(bleu::Statistics::of).collect()),
            MetricKind::Rouge2 => Self::Values(rows.iter().map(rouge::row_score).collect()),
        })
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Right(rows) => rows.len(),
            Self::Bleu(rows) => rows.len(),
            Self::Values(rows) => rows.len(),
        }
    }

    /// The metric in [0, 100] over the rows of these numbers, at least one; a row may come up again.
    pub(super) fn over(&self, rows: impl ExactSizeIterator<Item = usize>) -> f64 {
        let count = rows.len() as f64;
        match self {
            Self::Right(right) => 100.0 * rows.filter(|&row| right[row]).count() as f64 / count,
            Self::Bleu(statistics) => bleu::corpus(rows.map(|row| &statistics[row])),
            Self::Values(values) => 100.0 * rows.map(|row| values[row]).sum::<f64>() / count,
        }
    }

    /// The metric over all rows.
    pub(super) fn over_all(&self) -> f64 {
        self.over(0..self.len())
    }
}
