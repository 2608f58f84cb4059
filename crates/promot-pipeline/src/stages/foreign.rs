//! Prompts of foreign tasks, answered by a model that is being tuned.
//!
//! Rows are those of the tasks' training splits: what decides anything about tuning is never what an
//! evaluation measures.

use promot_core::StopFlag;
use promot_data::fewshot::FewShot;
use promot_data::source::load;
use promot_data::split::Split;
use promot_data::tokenizer::Tokenizer;
use promot_model::arch::Model;
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use promot_model::train::TrainingBackend;

use super::eval::measured::{Measured, examples};
use super::measure::{answers, judge};
use super::rows::shots_seed;
use crate::plan::{ForeignParams, Plan};
use crate::run::RunError;

/// Rows beyond those that are answered, from which worked examples are drawn.
const MORE_EXAMPLES: usize = 256;

/// The prompts of each task.
pub(super) fn foreign_prompts(
    params: &ForeignParams,
    plan: &Plan,
) -> Result<Vec<Measured>, RunError> {
    let seed = shots_seed(plan.seed);
    let prompts = params.tasks.iter().map(|foreign| {
        let task = plan.task(&foreign.task);
        let limit = Some(params.rows.saturating_add(MORE_EXAMPLES));
        let pool = load(&*task, &foreign.source.source(), Split::Train, limit)?;
        let few = FewShot::new(&*task, &pool, params.shots, seed);
        let rows = &pool[..params.rows.min(pool.len())];
        Ok(Measured {
            examples: examples(few, rows)?,
            task,
            shots: params.shots,
            target: None,
        })
    });
    prompts.collect()
}

/// What a model says to the prompts of a task, and its score by the task's own metric, in [0, 100]; `None` if
/// asked to stop.
pub(super) fn answered<B: TrainingBackend>(
    what: &Measured,
    model: &Model<B>,
    prompt: Option<&Var<B>>,
    tokenizer: &Tokenizer,
    max_new_tokens: usize,
    stop: &StopFlag,
) -> Result<Option<(Vec<String>, f64)>, RunError> {
    let options = GenerateOptions {
        max_new_tokens,
        beams: 1,
        ..GenerateOptions::default()
    };
    let (task, examples) = (&*what.task, &what.examples);
    let outputs = answers(model, tokenizer, task, examples, prompt, &options, stop)?;
    let Some((outputs, _)) = outputs else {
        return Ok(None);
    };
    let score = judge(task, examples, &outputs)?.value;
    Ok(Some((outputs, score)))
}
