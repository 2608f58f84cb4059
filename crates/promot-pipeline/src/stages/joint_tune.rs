//! `joint_tune`: a soft prompt and the model tuned at once, the ablation of the two stages (paper section
//! 5.5).

use std::path::Path;

use promot_model::arch::Model;
use promot_model::checkpoint::{SavePrecision, save_prompt};
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::prompts::fresh_start;
use super::results::{PROMPT_DIRECTORY, write_model, write_result};
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
    let layout = |to: &Path, tuned: &Model<B>, adapters: &Adapters| {
        write_model(to, tuned, &model.tokenizer, SavePrecision::F32)?;
        // The prompt belongs to the model that it was tuned with, which this stage makes.
        let (prompt, config) = (&adapters.prompts[0], tuned.config());
        save_prompt(prompt, &config, &stage.name, &to.join(PROMPT_DIRECTORY))
    };
    let work = Work {
        stage,
        directory,
        context,
        layout: &layout,
    };
    let trained = tune(&work, &params.train, Tune::Both, &model, &start, tasks)?;
    write_result(&work, &trained)
}
