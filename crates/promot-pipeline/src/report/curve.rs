//! What evaluations of a tuning stage's checkpoints say, as curves over its steps (paper figures 1, 2, 5
//! and 6).

use serde::{Deserialize, Serialize};

use super::TableData;

/// Models measured at their checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveData {
    /// One curve for each model that was tuned.
    pub series: Vec<CurveSeries>,
    /// All scores; a column for each point.
    pub table: TableData,
}

/// The name of the file with the series in an artifact; the scores are in `table.json`.
pub(crate) const CURVE_FILE: &str = "curve.json";

/// What is in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct CurveFile {
    /// One curve for each model that was tuned.
    pub(crate) series: Vec<CurveSeries>,
}

/// One model's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurveSeries {
    /// The model's name.
    pub model: String,
    /// Its checkpoints in the order of their steps; step 0 is the model before tuning.
    pub points: Vec<CurvePoint>,
}

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimizer steps done.
    pub step: u64,
    /// The column of the table that has its scores.
    pub column: String,
}
