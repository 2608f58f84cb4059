//! `data`: rows of a task, checked, counted, and a few shown.

use promot_data::fewshot::FewShot;

use super::rows::{evaluation_rows, training_rows};
use crate::plan::{DataParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

/// Prompts that are written for people to read.
const SHOWN: usize = 5;

pub(crate) fn run<B>(
    params: &DataParams,
    _stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let rows = training_rows(params, context.plan)?;
    // What only trains needs no evaluation rows: their absence is told where they are needed.
    let evaluated = evaluation_rows(&*rows.task, &params.source.source(), None);
    let evaluated = evaluated.map(|rows| rows.len()).ok();
    let prompts = FewShot::new(&*rows.task, &rows.train, 0, context.plan.seed)
        .map_err(|error| RunError::mismatch(error.to_string(), "give the data stage more rows"))?;
    let shown: Vec<_> = rows
        .train
        .iter()
        .take(SHOWN)
        .filter_map(|row| prompts.example(row, 0).ok())
        .collect();
    let summary = serde_json::json!({
        "task": params.task,
        "train_rows": rows.train.len(),
        "dev_rows": rows.dev.len(),
        "evaluation_split": rows.task.evaluation_split().name(),
        "evaluation_rows": evaluated,
        "samples": shown,
    });
    let json = serde_json::to_vec_pretty(&summary).expect("plain data serialises");
    directory.write("data.json", &json)
}
