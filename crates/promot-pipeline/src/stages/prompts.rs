//! Soft prompts as they are before anybody tunes them.

use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::{Adapters, TrainingBackend};

use super::inputs::{TunedTask, starting_model, tuned_tasks};
use crate::plan::{PromptTuneParams, Stage, StageKind};
use crate::run::{Context, LoadedModel, RunError};

/// The prompt that `stage` makes for `model`, before it is tuned.
///
/// # Panics
/// If it is a stage of a kind without a prompt.
pub(super) fn fresh_prompt<B: TrainingBackend>(
    stage: &Stage,
    model: &LoadedModel<B>,
    context: &Context<'_, B>,
) -> SoftPrompt {
    let (length, from_vocabulary) = match &stage.kind {
        StageKind::PromptTune(params) | StageKind::JointTune(params) => {
            (params.length, params.init_from_vocabulary)
        }
        StageKind::RandomPrompt(params) => (params.length, params.init_from_vocabulary),
        _ => unreachable!("types were checked"),
    };
    let init = if from_vocabulary {
        PromptInit::Vocabulary {
            skip: model.tokenizer.num_leading_special(),
        }
    } else {
        PromptInit::Uniform
    };
    let seed = context.plan.seed.child(&stage.name, "prompt");
    SoftPrompt::init(&model.model, length, init, seed)
}

/// What a stage that tunes a fresh prompt starts from: the model, the rows, all of them after the prompt, and
/// the prompt itself.
pub(super) fn fresh_start<B: TrainingBackend>(
    params: &PromptTuneParams,
    stage: &Stage,
    context: &Context<'_, B>,
) -> Result<(LoadedModel<B>, Vec<TunedTask>, Adapters), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let (mut tasks, _) = tuned_tasks(&params.on, context)?;
    tasks.iter_mut().for_each(|task| task.prompt = Some(0));
    let start = Adapters::prompts(vec![fresh_prompt(stage, &model, context)]);
    Ok((model, tasks, start))
}
