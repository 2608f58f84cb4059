//! `lora_tune`: stage 1 of ProMoT with low-rank changes of a frozen model's weights in the place of a
//! soft prompt (paper section A.3.6).

use std::path::Path;

use promot_model::arch::Model;
use promot_model::checkpoint::save_lora;
use promot_model::lora::Lora;
use promot_model::train::{Adapters, TrainingBackend, Tune};

use super::inputs::{base_name, starting_model, tuned_tasks};
use super::results::write_result;
use super::training::{Work, tune};
use crate::plan::{LoraTuneParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &LoraTuneParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let model = starting_model(params.from.as_deref(), context)?;
    let (tasks, _) = tuned_tasks(&params.on, context)?;
    let targets = if params.targets.is_empty() {
        // Queries and values, as PEFT has it for these architectures.
        let names = if model.model.config().is_encoder_decoder() {
            ["q", "v"]
        } else {
            ["q_proj", "v_proj"]
        };
        names.map(str::to_owned).to_vec()
    } else {
        params.targets.clone()
    };
    let seed = context.plan.seed.child(&stage.name, "low-rank changes");
    let alpha = params.alpha as f32;
    let start = Lora::init(&model.model, &targets, params.rank, alpha, seed);
    let mut start = start.map_err(|error| {
        RunError::mismatch(
            error.to_string(),
            "name linear layers of the model in `targets`",
        )
    })?;
    start.dropout = params.lora_dropout as f32;
    let start = Adapters {
        lora: Some(start),
        ..Adapters::default()
    };
    let base = base_name(params.from.as_deref(), context);
    let layout = |to: &Path, model: &Model<B>, adapters: &Adapters| {
        let lora = adapters.lora.as_ref().expect("given and returned");
        save_lora(lora, &model.config(), &base, to)
    };
    let work = Work {
        stage,
        directory,
        context,
        layout: &layout,
    };
    let trained = tune(&work, &params.train, Tune::Lora, &model, &start, tasks)?;
    write_result(&work, &trained)
}
