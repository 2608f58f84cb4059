//! From what a rehearsal took to what the run will take.

use serde::Serialize;

use super::clock::Timed;
use super::rehearsal::Rehearsed;
use crate::plan::{EvalModel, EvalParams, Plan, StageKind, TrainParams};
use crate::run::{RunError, Store};
use crate::stages::evaluation_rows;

/// What one stage will cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageCost {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether its artifact is in the store, so that it costs nothing.
    pub is_cached: bool,
    /// How long it takes.
    pub time: StageTime,
    /// Bytes of its artifact.
    pub artifact_bytes: u64,
    /// Bytes of its work directory, while it runs.
    pub work_bytes: u64,
}

/// How long a stage takes, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageTime {
    /// What does not depend on the number of steps and rows.
    pub fixed: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Each of them.
    pub step: f64,
    /// Checkpoints that are measured and saved.
    pub checkpoints: u64,
    /// Each of them.
    pub checkpoint: f64,
    /// All answers of an evaluation.
    pub answers: f64,
}

impl StageTime {
    /// Everything.
    pub fn total(&self) -> f64 {
        self.fixed
            + self.steps as f64 * self.step
            + self.checkpoints as f64 * self.checkpoint
            + self.answers
    }
}

pub(super) fn costs(
    plan: &Plan,
    rehearsed: &Rehearsed,
    store: &Store,
) -> Result<Vec<StageCost>, RunError> {
    let cost = |stage: &crate::plan::Stage| {
        let nothing = Timed::default();
        let timed = rehearsed.timed.get(&stage.name).unwrap_or(&nothing);
        let spent: f64 = [&timed.steps, &timed.checkpoints, &timed.cells]
            .into_iter()
            .flatten()
            .sum();
        let mut time = StageTime {
            fixed: timed.total - spent,
            ..StageTime::default()
        };
        let (rest, kept) = rehearsed.bytes[&stage.name];
        let mut artifact_bytes = rest + kept;
        if let Some(train) = stage.kind.train() {
            time.steps = train.steps;
            time.step = median(&timed.steps);
            time.checkpoints = train.checkpoint_count();
            time.checkpoint = median(&timed.checkpoints);
            artifact_bytes = rest + kept * train.checkpoint_count();
        } else if let Some(params) = stage.kind.evaluation() {
            let small = rehearsed.plan.stage(&stage.name).expect("the same stages");
            let small = small.kind.evaluation().expect("of the same kind");
            let (seconds, growth) = answers(plan, params, small, timed, rehearsed.size.rows)
                .map_err(|error| error.in_stage(&stage.name))?;
            time.answers = seconds;
            artifact_bytes = (rest as f64 * growth) as u64;
        } else if let StageKind::Gradients(params) = &stage.kind {
            let points = params.models.iter().map(|model| match &params.steps {
                Some(steps) => steps.len() as u64,
                None => {
                    let tuned = plan
                        .stage(&model.model)
                        .and_then(|stage| stage.kind.train());
                    1 + tuned.map_or(0, TrainParams::checkpoint_count)
                }
            });
            time.answers = median(&timed.cells) * points.sum::<u64>() as f64;
        }
        Ok(StageCost {
            stage: stage.name.clone(),
            kind: stage.kind.name(),
            is_cached: store.stage(stage).is_finished(),
            time,
            artifact_bytes,
            work_bytes: timed.work_bytes,
        })
    };
    plan.stages().map(cost).collect()
}

/// Seconds of all answers of an evaluation, and how many times as many answers as in its rehearsal there
/// are.
fn answers(
    plan: &Plan,
    params: &EvalParams,
    small: &EvalParams,
    timed: &Timed,
    rehearsed_rows: usize,
) -> Result<(f64, f64), RunError> {
    let measured = measured_rows(plan, params)?;
    let columns = small.models.len();
    let (mut seconds, mut all, mut tried) = (0.0, 0, 0);
    for (row, &(is_target, rows)) in measured.iter().enumerate() {
        let few = rows.min(rehearsed_rows);
        let own = (0..columns).filter(|&column| !is_repeated(&small.models, column, is_target));
        let times: Vec<f64> = own
            .filter_map(|column| timed.cells.get(column * measured.len() + row).copied())
            .collect();
        let distinct = (0..params.models.len())
            .filter(|&column| !is_repeated(&params.models, column, is_target))
            .count();
        let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
        seconds += mean * rows as f64 / few.max(1) as f64 * distinct as f64;
        all += rows * params.models.len();
        tried += few * columns;
    }
    Ok((seconds, all as f64 / tried.max(1) as f64))
}

/// Whether an earlier column has the same answers: the same model, where its prompt does not matter or
/// is the same.
fn is_repeated(models: &[EvalModel], column: usize, is_target: bool) -> bool {
    let same = |other: &EvalModel| {
        let model = &models[column];
        let prompts = !is_target || other.prompts == model.prompts;
        other.model == model.model && other.at == model.at && prompts
    };
    models[..column].iter().any(same)
}

/// What is measured, in order: whether it is a target, and how many rows it has.
fn measured_rows(plan: &Plan, params: &EvalParams) -> Result<Vec<(bool, usize)>, RunError> {
    let mut measured = Vec::new();
    for target in &params.targets {
        let Some(StageKind::Data(data)) = plan.stage(target).map(|stage| &stage.kind) else {
            unreachable!("types were checked");
        };
        let task = plan.task(&data.task);
        let rows = evaluation_rows(&*task, &data.source.source(), Some(params.target_rows))?;
        measured.push((true, rows.len()));
    }
    for _ in &params.shots {
        for evaluated in &params.tasks {
            let task = plan.task(&evaluated.task);
            let rows = evaluation_rows(&*task, &evaluated.source.source(), Some(params.rows))?;
            measured.push((false, rows.len()));
        }
    }
    Ok(measured)
}

/// The value in the middle; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
