//! `gradients`: how much of a checkpoint's gradient is that of the target's format (paper section 3.3).
//!
//! The full gradient is that of real batches of the target, the format gradient that of the same inputs with
//! the targets dealt out anew among all rows. Both are those of the loss that the stage tuned with: its
//! label smoothing, worked examples and length limit; without dropout ([`weight_gradient`] says why).

use std::fs;
use std::path::Path;

use promot_core::{BatchSource as _, Event};
use promot_data::metric::mean_interval;
use promot_data::training::{TaskBatches, TrainingTask};
use promot_model::alignment::{GradientOptions, cosines, parameter_groups, weight_gradient};
use promot_model::checkpoint::Adapter;
use promot_model::graph::Var;
use promot_model::ops::cross_entropy::LabelSmoothing;
use promot_model::train::TrainingBackend;
use serde::{Deserialize, Serialize};

use super::checkpoints::{kept_steps, model_at};
use super::inputs::adapter_of;
use super::rows::{TrainingRows, training_rows};
use crate::plan::{GradientsModel, GradientsParams, Stage, StageKind};
use crate::report::{AlignmentData, AlignmentPoint};
use crate::run::{Context, RunError, StageDirectory};

/// What an interrupted run keeps of a finished checkpoint.
#[derive(Serialize, Deserialize)]
struct Measured {
    /// Names of the groups of parameters.
    groups: Vec<String>,
    /// For each batch the cosines of the groups, if they have one.
    batches: Vec<Vec<Option<f64>>>,
}

pub(crate) fn run<B: TrainingBackend>(
    params: &GradientsParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let StageKind::Data(data) = &context.artifact(&params.on).0.kind else {
        unreachable!("types were checked");
    };
    let rows = training_rows(data, context.plan)?;
    let mut places = Vec::new();
    for model in &params.models {
        let steps = kept_steps(&model.model, params.steps.as_deref(), context)?;
        places.extend(steps.into_iter().map(|step| (model, step)));
    }
    let total = places.len() as u64;
    context.events.emit(Event::StageStarted {
        stage: stage.name.clone(),
        total,
    });
    if rows.train.len() < params.batches * params.batch_size {
        context.events.emit(Event::Warning {
            stage: stage.name.clone(),
            message: format!(
                "{} training rows are fewer than {} batches of {}: batches share rows, and intervals are \
                 too narrow",
                rows.train.len(),
                params.batches,
                params.batch_size
            ),
        });
    }
    let mut points = Vec::new();
    for (place, (model, step)) in places.into_iter().enumerate() {
        let file = directory.work().join(format!("point-{place}.json"));
        let measured = match read_measured(&file, params) {
            Some(measured) => measured,
            None => {
                let measured = measure(params, stage, model, step, &rows, context)?;
                let json = serde_json::to_vec(&measured).expect("plain data serialises");
                promot_core::write_atomically(&file, &json)
                    .map_err(|error| RunError::io(&file, error))?;
                measured
            }
        };
        points.extend(means(model, step, &measured));
        context.events.emit(Event::Evaluated {
            stage: stage.name.clone(),
            done: place as u64 + 1,
            total,
            what: format!("{} @{step}", model.label),
        });
    }
    let data = AlignmentData {
        batches: params.batches,
        batch_size: params.batch_size,
        points,
    };
    let json = serde_json::to_vec_pretty(&data).expect("plain data serialises");
    directory.write("gradients.json", &json)
}

fn read_measured(file: &Path, params: &GradientsParams) -> Option<Measured> {
    let measured: Measured = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (measured.batches.len() == params.batches).then_some(measured)
}

/// The groups' mean cosines. Where a gradient is zero there is no angle, and the mean is over the other
/// batches; a group without at least two of them is left out.
fn means(model: &GradientsModel, step: u64, measured: &Measured) -> Vec<AlignmentPoint> {
    let point = |(index, group): (usize, &String)| {
        let cosines = measured.batches.iter().filter_map(|batch| batch[index]);
        let cosines: Vec<f64> = cosines.collect();
        let interval = mean_interval(&cosines)?;
        Some(AlignmentPoint {
            model: model.label.clone(),
            step,
            group: group.clone(),
            cosine: interval.mean,
            low: interval.low.max(-1.0),
            high: interval.high.min(1.0),
        })
    };
    measured
        .groups
        .iter()
        .enumerate()
        .filter_map(point)
        .collect()
}

/// The cosines of one model at one checkpoint.
fn measure<B: TrainingBackend>(
    params: &GradientsParams,
    stage: &Stage,
    named: &GradientsModel,
    step: u64,
    rows: &TrainingRows,
    context: &Context<'_, B>,
) -> Result<Measured, RunError> {
    let tuned = &context.artifact(&named.model).0.kind;
    let train = tuned.train().expect("types were checked");
    let loaded = model_at(&named.model, step, context)?;
    let adapter = named.prompt.as_ref();
    let adapter = adapter.map(|name| adapter_of(name, &loaded, context));
    let (model, prompts) = match adapter.transpose()? {
        Some(Adapter::Prompt(prompt)) => {
            let prompt = Var::constant(prompt.to_tensor(loaded.model.device()));
            (loaded.model.clone(), vec![prompt])
        }
        // The gradient of a weight is that of the weight with its change added.
        Some(Adapter::Lora(lora)) => (lora.merged(&loaded.model).expect("checked to fit"), vec![]),
        None => (loaded.model.clone(), vec![]),
    };
    let options = GradientOptions {
        smoothing: LabelSmoothing::t5x(train.label_smoothing as f32),
        recompute: train.recompute,
    };
    let groups = parameter_groups(&model);
    let mut measured = Measured {
        groups: groups.iter().map(|group| group.name.clone()).collect(),
        batches: Vec::new(),
    };
    let task = || TrainingTask {
        task: rows.task.clone(),
        rows: rows.train.clone(),
        shots: train.shots,
        max_input_tokens: train.max_input_tokens.or(rows.task.max_input_tokens()),
        prompt: (!prompts.is_empty()).then_some(0),
        weight: 1.0,
    };
    // The same rows for every model and step, rendered as that model's training renders them.
    let seed = context.plan.seed.child(&stage.name, "gradients");
    let batches = || {
        let tokenizer = loaded.tokenizer.clone();
        TaskBatches::new(vec![task()], params.batch_size, tokenizer, seed)
            .map_err(|error| RunError::mismatch(error.to_string(), "give the data stage more rows"))
    };
    let (real, shuffled) = (batches()?, batches()?.with_shuffled_targets());
    for step in 0..params.batches as u64 {
        if context.stop.is_requested() {
            return Err(RunError::Interrupted {
                stage: stage.name.clone(),
            });
        }
        let full = weight_gradient(&model, &prompts, &real.batch(step), &options)?;
        let format = weight_gradient(&model, &prompts, &shuffled.batch(step), &options)?;
        measured
            .batches
            .push(cosines(&model, &groups, &full, &format)?);
    }
    Ok(measured)
}
