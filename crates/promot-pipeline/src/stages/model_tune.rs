//! `model_tune`: stage 2 of ProMoT with what stage 1 made, frozen; standard fine-tuning without it.

use std::path::Path;

use promot_model::arch::Model;
use promot_model::checkpoint::{Adapter, SavePrecision};
use promot_model::prompt::SoftPrompt;
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::inputs::{adapter_of, prompt_of, starting_model, tuned_tasks};
use super::results::{write_model, write_result};
use super::training::{Work, tune};
use crate::plan::{ModelTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &ModelTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let (mut tasks, prompts) = tuned_tasks(&params.on, context)?;
    let prompts: Result<Vec<SoftPrompt>, RunError> = prompts
        .iter()
        .map(|name| prompt_of(name, &model, context))
        .collect();
    let mut adapters = Adapters::prompts(prompts?);
    if let Some(name) = &params.prompt {
        match adapter_of(name, &model, context)? {
            Adapter::Prompt(prompt) => {
                adapters.prompts.push(prompt);
                tasks.iter_mut().for_each(|task| task.prompt = Some(0));
            }
            Adapter::Lora(lora) => adapters.lora = Some(lora),
        }
    }
    let layout = |to: &Path, tuned: &Model<B>, _: &Adapters| {
        write_model(to, tuned, &model.tokenizer, SavePrecision::F32)
    };
    let work = Work {
        stage,
        directory,
        context,
        layout: &layout,
    };
    let trained = tune(&work, &params.train, Tune::Model, &model, &adapters, tasks)?;
    write_result(&work, &trained)
}
