//! Soft prompts as they are before anybody tunes them.

use promot_model::prompt::{PromptInit, SoftPrompt};
use promot_model::train::TrainingBackend;

use crate::plan::{Stage, StageKind};
use crate::run::{Context, LoadedModel};

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
        StageKind::PromptTune(params) => (params.length, params.init_from_vocabulary),
        StageKind::JointTune(params) => (params.length, params.init_from_vocabulary),
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
