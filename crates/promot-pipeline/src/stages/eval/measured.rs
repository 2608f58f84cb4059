//! What is measured: tasks with their rows as prompts.

use promot_core::Example;
use promot_data::fewshot::FewShot;
use promot_data::source::{Source, load};
use promot_data::split::Split;
use promot_data::task::{Task, TaskRef};

use super::super::rows::{evaluation_rows, shots_seed};
use crate::plan::{DrawShots, EvalParams, StageKind};
use crate::run::{Context, RunError};

/// One task with one number of worked examples.
pub(super) struct Measured {
    pub(super) task: TaskRef,
    pub(super) shots: usize,
    /// For targets the data stage, by which prompts are found.
    pub(super) target: Option<String>,
    pub(super) examples: Vec<Example>,
}

/// Targets without worked examples, then every task with each number of them.
pub(super) fn measured(
    params: &EvalParams,
    context: &Context<'_>,
) -> Result<Vec<Measured>, RunError> {
    let mut measured = Vec::new();
    for target in &params.targets {
        let StageKind::Data(data) = &context.artifact(target).0.kind else {
            unreachable!("types were checked");
        };
        let task = context.plan.task(&data.task);
        measured.push(Measured {
            examples: examples(
                &*task,
                &data.source.source(),
                params.target_rows,
                0,
                params,
                context,
            )?,
            task,
            shots: 0,
            target: Some(target.clone()),
        });
    }
    for &shots in &params.shots {
        for evaluated in &params.tasks {
            let task = context.plan.task(&evaluated.task);
            measured.push(Measured {
                examples: examples(
                    &*task,
                    &evaluated.source.source(),
                    params.rows,
                    shots,
                    params,
                    context,
                )?,
                task,
                shots,
                target: None,
            });
        }
    }
    Ok(measured)
}

/// A task's rows, at most `limit`, as prompts with `shots` worked examples.
fn examples(
    task: &dyn Task,
    source: &Source,
    limit: usize,
    shots: usize,
    params: &EvalParams,
    context: &Context<'_>,
) -> Result<Vec<Example>, RunError> {
    let rows = evaluation_rows(task, source, Some(limit))?;
    // Only few-shot prompts need training rows.
    let pool = match shots {
        0 => Vec::new(),
        _ => load(task, source, Split::Train, None)?,
    };
    let seed = shots_seed(context.plan.seed);
    let few = FewShot::new(task, &pool, shots, seed).map_err(|error| {
        RunError::mismatch(error.to_string(), "give the task more training rows")
    })?;
    let few = match params.draw_shots {
        DrawShots::EachRow => few,
        DrawShots::Once => few.drawn_once(),
    };
    let examples: Result<Vec<Example>, _> = rows.iter().map(|row| few.example(row, 0)).collect();
    examples.map_err(|error| RunError::mismatch(error.to_string(), "mend the row or leave it out"))
}
