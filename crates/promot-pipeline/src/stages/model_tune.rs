//! `model_tune`: stage 2 of ProMoT with a frozen prompt, standard fine-tuning without one.

use promot_model::checkpoint::SavePrecision;
use promot_model::prompt::SoftPrompt;
use promot_model::train::Tune;

use super::training::{Work, prompt_of, starting_model, tune, tuned_tasks, write_model};
use crate::plan::{ModelTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run(
    params: &ModelTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_>,
) -> Result<(), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let (mut tasks, mut prompts) = tuned_tasks(&params.on, context)?;
    if let Some(prompt) = &params.prompt {
        prompts.push(prompt.clone());
        tasks.iter_mut().for_each(|task| task.prompt = Some(0));
    }
    let prompts: Result<Vec<SoftPrompt>, RunError> = prompts
        .iter()
        .map(|name| prompt_of(name, &model, context))
        .collect();
    let work = Work {
        stage,
        directory,
        context,
    };
    let trained = tune(work, &params.train, Tune::Model, &model, &prompts?, tasks)?;
    write_model(directory, &trained, &model.tokenizer, SavePrecision::F32)
}
