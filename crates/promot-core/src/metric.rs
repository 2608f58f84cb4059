//! Metric records: a score never travels without its sample count.

use serde::{Deserialize, Serialize};

/// What is measured; every metric is in [0, 100] and higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Share of rows whose first token is the right label (paper section A.2.2).
    Accuracy,
    /// Share of rows equal to any accepted answer after SQuAD/TriviaQA normalisation.
    ExactMatch,
    /// Corpus BLEU as sacrebleu computes it by default (13a tokens, exponential smoothing).
    Bleu,
    /// Mean ROUGE-2 F-measure as `rouge_score` computes it with stemming.
    Rouge2,
}

impl MetricKind {
    /// The name used in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::ExactMatch => "exact match",
            Self::Bleu => "BLEU",
            Self::Rouge2 => "ROUGE-2",
        }
    }
}

/// One score of one model on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// The task's name.
    pub task: String,
    /// What is measured.
    pub metric: MetricKind,
    /// The score in [0, 100].
    pub value: f64,
    /// Half the width of the 95% confidence interval, in the unit of `value`.
    pub margin: f64,
    /// How many rows the score is a mean over.
    pub samples: usize,
    /// Worked examples before each row.
    pub shots: usize,
    /// Share in [0, 100] of outputs in the tuned task's format (True/False), where that is foreign
    /// to this task.
    pub format_share: Option<f64>,
}
