//! What is measured: tasks with their rows as prompts.

use promot_core::Example;
use promot_data::fewshot::{FewShot, TooFewRows};
use promot_data::record::Record;
use promot_data::source::load;
use promot_data::split::Split;
use promot_data::task::TaskRef;

use super::super::rows::{evaluation_rows, shots_seed};
use crate::plan::{DrawShots, EvalParams, StageKind};
use crate::run::{Context, RunError};

/// One task with one number of worked examples.
pub(in crate::stages) struct Measured {
    pub(in crate::stages) task: TaskRef,
    pub(in crate::stages) shots: usize,
    /// For targets the data stage, by which prompts are found.
    pub(in crate::stages) target: Option<String>,
    pub(in crate::stages) examples: Vec<Example>,
}

/// Targets without worked examples, then every task with each number of them.
pub(super) fn measured<B>(
    params: &EvalParams,
    context: &Context<'_, B>,
) -> Result<Vec<Measured>, RunError> {
    let mut measured = Vec::new();
    for target in &params.targets {
        let StageKind::Data(data) = &context.artifact(target).0.kind else {
            unreachable!("types were checked");
        };
        let task = context.plan.task(&data.task);
        let rows = evaluation_rows(&*task, &data.source.source(), Some(params.target_rows))?;
        let few = FewShot::new(&*task, &[], 0, shots_seed(context.plan.seed));
        measured.push(Measured {
            examples: examples(few, &rows)?,
            task,
            shots: 0,
            target: Some(target.clone()),
        });
    }
    for &shots in &params.shots {
        for evaluated in &params.tasks {
            let task = context.plan.task(&evaluated.task);
            let source = evaluated.source.source();
            let rows = evaluation_rows(&*task, &source, Some(params.rows))?;
            let pool = match shots {
                0 => Vec::new(),
                _ => load(&*task, &source, Split::Train, None)?,
            };
            let few = FewShot::new(&*task, &pool, shots, shots_seed(context.plan.seed));
            let few = few.map(|few| match params.draw_shots {
                DrawShots::EachRow => few,
                DrawShots::Once => few.drawn_once(),
            });
            measured.push(Measured {
                examples: examples(few, &rows)?,
                task,
                shots,
                target: None,
            });
        }
    }
    Ok(measured)
}

/// Rows as prompts.
pub(in crate::stages) fn examples(
    few: Result<FewShot<'_>, TooFewRows>,
    rows: &[Record],
) -> Result<Vec<Example>, RunError> {
    let few = few.map_err(|error| {
        RunError::mismatch(error.to_string(), "give the task more training rows")
    })?;
    let examples: Result<Vec<Example>, _> = rows.iter().map(|row| few.example(row, 0)).collect();
    examples.map_err(|error| RunError::mismatch(error.to_string(), "mend the row or leave it out"))
}
