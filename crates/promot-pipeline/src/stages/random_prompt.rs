//! `random_prompt`: a soft prompt that nobody tunes, for fine-tuning with a fixed random prompt (paper
//! section 5.5).

use promot_model::checkpoint::save_prompt;
use promot_model::train::TrainingBackend;

use super::inputs::{base_name, starting_model};
use super::prompts::fresh_prompt;
use crate::plan::{RandomPromptParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &RandomPromptParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let prompt = fresh_prompt(stage, &model, context);
    let base = base_name(params.from.as_deref(), context);
    let config = model.model.config();
    Ok(save_prompt(&prompt, &config, &base, &directory.artifact())?)
}
