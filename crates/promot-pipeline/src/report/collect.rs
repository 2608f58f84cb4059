//! Puts together what a finished run left in the store.

use std::fs;
use std::path::Path;

use promot_data::metric::MetricError;

use super::card::Card;
use super::differences::differences;
use super::flips::flips;
use super::measured::measured;
use super::plot::plots;
use super::published::beside;
use super::summary::summaries;
use super::{CURVE_FILE, CurveData, CurveFile, Report, TableData};
use crate::plan::{Plan, StageKind};
use crate::run::Store;
use crate::stages::drift::DriftFile;

/// A stage's results cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It has not run, or not to its end.
    #[error("stage `{stage}` is not finished")]
    Unfinished {
        /// The stage.
        stage: String,
    },
    /// A file of it is missing or damaged.
    #[error("{path}: {problem}")]
    Damaged {
        /// The file.
        path: String,
        /// What is the matter with it.
        problem: String,
    },
}

impl CollectError {
    /// Rows were scored before they were stored: if they cannot be any more, they are damaged.
    pub(super) fn unjudged(error: &MetricError) -> Self {
        Self::Damaged {
            path: "answers".to_owned(),
            problem: error.to_string(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unfinished { .. } => "run the pipeline first",
            Self::Damaged { .. } => "run the stage again with --force and its name",
        }
    }
}

impl Report {
    /// The report of a plan whose evaluations and training stages are in the store.
    ///
    /// # Errors
    /// If a stage is not finished, or its files are damaged.
    pub fn collect(plan: &Plan, store: &Store) -> Result<Self, CollectError> {
        let mut report = Self {
            pipeline: plan.name.clone(),
            seed: plan.seed.value(),
            precision: plan.precision,
            kernels: Vec::new(),
            tables: Vec::new(),
            training: Vec::new(),
            curves: Vec::new(),
            alignments: Vec::new(),
            drift: Vec::new(),
            summaries: Vec::new(),
            flips: Vec::new(),
            published: Vec::new(),
            plots: Vec::new(),
            card: Card::of(plan),
        };
        for stage in plan.stages() {
            let directory = store.stage(stage);
            if !directory.is_finished() {
                return Err(CollectError::Unfinished {
                    stage: stage.name.clone(),
                });
            }
            let kernels = directory.kernels();
            report
                .kernels
                .extend(kernels.filter(|name| !report.kernels.contains(name)));
            let (name, artifact) = (stage.name.clone(), directory.artifact());
            match &stage.kind {
                StageKind::Eval(params) => {
                    let mut table = titled_table(&artifact, plan)?;
                    // Comparisons decide nothing, so they are no part of what is stored under a key.
                    let against = &params.models[params.compare_with].label;
                    let measured = measured(&table, &artifact)?;
                    table.differences = differences(&table, against, &measured, &plan.tasks)?;
                    table.compared_with = Some(against.clone());
                    let flips = flips(&table, params, &measured, &plan.tasks)?;
                    report.flips.push((name.clone(), flips));
                    if let Some(published) = &params.published {
                        let published = beside(&table, params, published, plan);
                        report.published.push((name.clone(), published));
                    }
                    report.summaries.push((name.clone(), summaries(&table)));
                    report.tables.push((name, table));
                }
                StageKind::Curve(_) => {
                    let CurveFile { series } = read(&artifact.join(CURVE_FILE))?;
                    let table = titled_table(&artifact, plan)?;
                    report.curves.push((name, CurveData { series, table }));
                }
                StageKind::Pretrain(_)
                | StageKind::PromptTune(_)
                | StageKind::LoraTune(_)
                | StageKind::ModelTune(_)
                | StageKind::JointTune(_) => {
                    let train = stage.kind.train();
                    if train.is_some_and(|train| train.drift.is_some()) {
                        let file: DriftFile = read(&artifact.join("drift.json"))?;
                        report.drift.push((name.clone(), file.records));
                    }
                    report
                        .training
                        .push((name, read(&artifact.join("training.json"))?));
                }
                StageKind::Gradients(_) => {
                    report
                        .alignments
                        .push((name, read(&artifact.join("gradients.json"))?));
                }
                StageKind::Data(_) | StageKind::Mix(_) | StageKind::RandomPrompt(_) => {}
            }
        }
        report.plots = plots(&report);
        Ok(report)
    }
}

/// The table with the titles of the file's own tasks, which decide nothing and so are no part of what is
/// stored under a key.
fn titled_table(artifact: &Path, plan: &Plan) -> Result<TableData, CollectError> {
    let mut table = read_table(artifact)?;
    for cell in &table.cells {
        let task = &cell.record.task;
        if let Some(custom) = plan.tasks.custom(task) {
            let title = custom.definition().title.clone();
            table.titles.insert(task.clone(), title);
        }
    }
    Ok(table)
}

/// The table of the finished evaluation in `artifact`.
pub(crate) fn read_table(artifact: &Path) -> Result<TableData, CollectError> {
    read(&artifact.join("table.json"))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CollectError> {
    let damaged = |problem: String| CollectError::Damaged {
        path: path.display().to_string(),
        problem,
    };
    let bytes = fs::read(path).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}
