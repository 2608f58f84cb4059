//! `prompt_tune`: stage 1 of ProMoT, a soft prompt before every input of a frozen model.

use promot_model::checkpoint::save_prompt;
use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::training::{Work, base_name, starting_model, tune, tuned_tasks, write_summary};
use crate::plan::{PromptTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &PromptTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
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
    let start = Adapters::prompts(vec![start]);
    let work = Work {
        stage,
        directory,
        context,
    };
    let trained = tune(&work, &params.train, Tune::Prompts, &model, &start, tasks)?;
    save_prompt(
        &trained.adapters.prompts[0],
        &trained.model.config(),
        &base_name(params.from.as_deref(), context),
        &directory.artifact(),
    )?;
    write_summary(directory, &trained)
}
