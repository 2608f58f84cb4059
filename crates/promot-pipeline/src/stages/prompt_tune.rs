//! `prompt_tune`: stage 1 of ProMoT, a soft prompt before every input of a frozen model.

use promot_model::checkpoint::save_prompt;
use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::Tune;

use super::training::{Work, starting_model, tune, tuned_tasks, write_summary};
use crate::plan::{BaseModel, PromptTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run(
    params: &PromptTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_>,
) -> Result<(), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let (mut tasks, _) = tuned_tasks(&params.on, context)?;
    tasks.iter_mut().for_each(|task| task.prompt = Some(0));
    let init = if params.init_from_vocabulary {
        PromptInit::Vocabulary {
            skip: model.tokenizer.num_leading_special(),
        }
    } else {
        PromptInit::Uniform
    };
    let seed = context.plan.seed.child(&stage.name, "prompt");
    let start = SoftPrompt::init(&model.model, params.length, init, seed);
    let work = Work {
        stage,
        directory,
        context,
    };
    let trained = tune(work, &params.train, Tune::Prompts, &model, &[start], tasks)?;
    let base = match (&params.from, &context.plan.base) {
        (Some(stage), _) => stage.clone(),
        (None, Some(BaseModel::Builtin { name, .. })) => format!("builtin:{name}"),
        (None, Some(BaseModel::Directory { path, .. })) => path.display().to_string(),
        (None, Some(BaseModel::Hub { snapshot, .. })) => snapshot.repository().id(),
        (None, None) => unreachable!("checked when compiled"),
    };
    save_prompt(
        &trained.prompts[0],
        &trained.model.config(),
        &base,
        &directory.artifact(),
    )?;
    write_summary(directory, &trained)
}
