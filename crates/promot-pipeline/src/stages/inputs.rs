//! What tuning stages read: models, prompts and LoRA of other stages, and the rows of tasks.

use std::path::PathBuf;

use promot_model::checkpoint::{Adapter, load_adapter, load_prompt};
use promot_model::prompt::SoftPrompt;
use promot_model::train::{TrainError, TrainingBackend};

use super::results::PROMPT_DIRECTORY;
use super::rows::{TrainingRows, training_rows};
use crate::plan::{BaseModel, Stage, StageKind};
use crate::run::{Context, LoadedModel, RunError, load_base};

/// The model that a stage starts from.
pub(super) fn starting_model<B: TrainingBackend>(
    from: Option<&str>,
    context: &Context<'_, B>,
) -> Result<LoadedModel<B>, RunError> {
    match from {
        Some(name) => LoadedModel::from_directory(&context.artifact(name).1, context.device),
        None => {
            let base = context.plan.base.as_ref();
            load_base(base.expect("checked when compiled"), context.device)
        }
    }
}

/// The prompt that a stage made, checked to fit `model`.
pub(super) fn prompt_of<B: TrainingBackend>(
    name: &str,
    model: &LoadedModel<B>,
    context: &Context<'_, B>,
) -> Result<SoftPrompt, RunError> {
    let (stage, artifact) = context.artifact(name);
    let prompt = load_prompt(&adapter_directory(stage, artifact))?;
    check_width(name, &prompt, model)?;
    Ok(prompt)
}

/// Where the prompt or LoRA of a stage is in its artifact, or in a checkpoint that it kept.
fn adapter_directory(stage: &Stage, artifact: PathBuf) -> PathBuf {
    match stage.kind {
        StageKind::JointTune(_) => artifact.join(PROMPT_DIRECTORY),
        _ => artifact,
    }
}

fn check_width<B: TrainingBackend>(
    name: &str,
    prompt: &SoftPrompt,
    model: &LoadedModel<B>,
) -> Result<(), RunError> {
    let d_model = model.model.config().d_model();
    if prompt.d_model() != d_model {
        return Err(RunError::mismatch(
            format!(
                "the prompt of `{name}` is {} wide, the model {d_model}",
                prompt.d_model()
            ),
            "a soft prompt only fits the model it was made for",
        ));
    }
    Ok(())
}

/// The prompt or LoRA that the stage `name` made, checked to fit `model`.
pub(super) fn adapter_of<B: TrainingBackend>(
    name: &str,
    model: &LoadedModel<B>,
    context: &Context<'_, B>,
) -> Result<Adapter, RunError> {
    let (stage, artifact) = context.artifact(name);
    adapter_in(stage, artifact, model)
}

/// The same of what a stage left in a directory in the layout of its artifact.
pub(super) fn adapter_in<B: TrainingBackend>(
    stage: &Stage,
    artifact: PathBuf,
    model: &LoadedModel<B>,
) -> Result<Adapter, RunError> {
    let adapter = load_adapter(&adapter_directory(stage, artifact))?;
    let name = &stage.name;
    match &adapter {
        Adapter::Prompt(prompt) => check_width(name, prompt, model)?,
        Adapter::Lora(lora) => {
            let attached = lora.attach(&model.model, false);
            attached.map_err(|error| RunError::from(TrainError::from(error)))?;
        }
    }
    Ok(adapter)
}

/// What an adapter's files call the model that it belongs to.
pub(super) fn base_name<B>(from: Option<&str>, context: &Context<'_, B>) -> String {
    match (from, &context.plan.base) {
        (Some(stage), _) => stage.to_owned(),
        (None, Some(BaseModel::Builtin { name, .. })) => format!("builtin:{name}"),
        (None, Some(BaseModel::Directory { path, .. })) => path.display().to_string(),
        (None, Some(BaseModel::Hub { snapshot, .. })) => snapshot.repository().id(),
        (None, None) => unreachable!("checked when compiled"),
    }
}

/// One tuned task: its rows and the prompt before them.
pub(super) struct TunedTask {
    pub(super) rows: TrainingRows,
    pub(super) prompt: Option<usize>,
    pub(super) weight: f64,
}

/// The tasks of a data or mix stage, and the prompts that a mix names.
pub(super) fn tuned_tasks<B>(
    on: &str,
    context: &Context<'_, B>,
) -> Result<(Vec<TunedTask>, Vec<String>), RunError> {
    let data = |name: &str| match &context.artifact(name).0.kind {
        StageKind::Data(params) => training_rows(params, context.plan).map_err(RunError::from),
        _ => unreachable!("types were checked"),
    };
    match &context.artifact(on).0.kind {
        StageKind::Mix(mix) => {
            let mut prompts = Vec::new();
            let mut tasks = Vec::new();
            for part in &mix.parts {
                let prompt = part.prompt.as_ref().map(|name| {
                    prompts.push(name.clone());
                    prompts.len() - 1
                });
                tasks.push(TunedTask {
                    rows: data(&part.data)?,
                    prompt,
                    weight: part.weight,
                });
            }
            Ok((tasks, prompts))
        }
        _ => Ok((
            vec![TunedTask {
                rows: data(on)?,
                prompt: None,
                weight: 1.0,
            }],
            Vec::new(),
        )),
    }
}
