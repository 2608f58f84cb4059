//! `prompt_tune`: stage 1 of ProMoT, a soft prompt before every input of a frozen model.

use std::path::Path;

use promot_model::arch::Model;
use promot_model::checkpoint::save_prompt;
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::inputs::base_name;
use super::prompts::fresh_start;
use super::results::write_result;
use super::training::{Work, tune};
use crate::plan::{PromptTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &PromptTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let (model, tasks, start) = fresh_start(params, stage, context)?;
    let base = base_name(params.from.as_deref(), context);
    let layout = |to: &Path, model: &Model<B>, adapters: &Adapters| {
        save_prompt(&adapters.prompts[0], &model.config(), &base, to)
    };
    let work = Work {
        stage,
        directory,
        context,
        layout: &layout,
    };
    let trained = tune(&work, &params.train, Tune::Prompts, &model, &start, tasks)?;
    write_result(&work, &trained)
}
