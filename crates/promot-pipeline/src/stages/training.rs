//! What training stages share: rows to batches, parameters to options, checkpoints to a score.

use std::path::{Path, PathBuf};

use promot_core::{BatchSource, Event, Example, Seed, write_atomically};
use promot_data::fewshot::FewShot;
use promot_data::task::TaskRef;
use promot_data::tokenizer::Tokenizer;
use promot_data::training::{TaskBatches, TrainingTask};
use promot_model::arch::Model;
use promot_model::checkpoint::{
    Adapter, CheckpointError, SavePrecision, load_adapter, load_prompt, save_model,
};
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use promot_model::ops::cross_entropy::LabelSmoothing;
use promot_model::optim::{AdafactorOptions, AdamWOptions, Optimizer, Schedule};
use promot_model::prompt::SoftPrompt;
use promot_model::train::{
    Adapters, InTraining, Keep, Measure, Measurement, Observe, Observer, PromptUpdates,
    Surroundings, TrainError, TrainOptions, TrainSummary, Trained, TrainingBackend, Tune, train,
};

use super::drift::DriftMonitor;
use super::labels::impossible_labels;
use super::measure::{answers, judge};
use super::rows::{TrainingRows, shots_seed, training_rows};
use super::select::Selection;
use crate::plan::{BaseModel, OptimizerKind, Stage, StageKind, TrainParams};
use crate::run::{Context, LoadedModel, RunError, StageDirectory, load_base};

/// Tokens of an answer when a checkpoint is measured.
const DEV_TOKENS: usize = 64;

/// Where the prompt is in the artifact of a stage that makes a model, too.
pub const PROMPT_DIRECTORY: &str = "prompt";

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

/// What a stage works on, and where.
pub(super) struct Work<'a, B: TrainingBackend> {
    pub(super) stage: &'a Stage,
    pub(super) directory: &'a StageDirectory,
    pub(super) context: &'a Context<'a, B>,
    /// Writes what is tuned as the stage's artifact has it.
    pub(super) layout: &'a Layout<'a, B>,
}

/// Writes a model or its adapters to a directory, in the layout of a stage's artifact.
pub(super) type Layout<'a, B> =
    dyn Fn(&Path, &Model<B>, &Adapters) -> Result<(), CheckpointError> + 'a;

/// Tunes a model or its prompts on tasks; checkpoints are chosen by the mean of the tasks' own
/// metrics on rows held back from training.
pub(super) fn tune<B: TrainingBackend>(
    work: &Work<'_, B>,
    params: &TrainParams,
    tune: Tune,
    model: &LoadedModel<B>,
    adapters: &Adapters,
    tasks: Vec<TunedTask>,
) -> Result<Trained<B>, RunError> {
    let Work { stage, context, .. } = *work;
    let seed = context.plan.seed.child(&stage.name, "training");
    let drift = params.drift.as_ref();
    let drift = drift.map(|drift| {
        let has_lora = adapters.lora.is_some();
        DriftMonitor::new(drift, work, model, &tasks, has_lora, tune)
    });
    let mut drift = drift.transpose()?;
    for TunedTask { rows, .. } in &tasks {
        for label in impossible_labels(&*rows.task, &model.tokenizer) {
            context.events.emit(Event::Warning {
                stage: stage.name.clone(),
                message: format!(
                    "no answer of this model can be the label `{label}` of {}: take words that its \
                     tokenizer knows",
                    rows.task.name()
                ),
            });
        }
    }
    let selection = params.select.as_ref();
    let selection = selection.map(|select| Selection::new(select, work, model));
    let selection = selection.transpose()?;
    let bad_shots = |error: &dyn std::fmt::Display| {
        RunError::mismatch(
            error.to_string(),
            "give the data stage more rows, or the tuning stage fewer shots",
        )
    };
    let mut dev: Vec<(TaskRef, Vec<Example>, Option<usize>)> = Vec::new();
    let mut training = Vec::new();
    for TunedTask {
        rows,
        prompt,
        weight,
    } in tasks
    {
        let few = FewShot::new(
            &*rows.task,
            &rows.train,
            params.shots,
            shots_seed(context.plan.seed),
        )
        .map_err(|error| bad_shots(&error))?;
        let examples: Result<Vec<Example>, _> =
            rows.dev.iter().map(|row| few.example(row, 0)).collect();
        dev.push((
            rows.task.clone(),
            examples.map_err(|error| bad_shots(&error))?,
            prompt,
        ));
        training.push(TrainingTask {
            max_input_tokens: params.max_input_tokens.or(rows.task.max_input_tokens()),
            task: rows.task,
            rows: rows.train,
            shots: params.shots,
            prompt,
            weight,
        });
    }
    let batches = TaskBatches::new(training, params.batch_size, model.tokenizer.clone(), seed)
        .map_err(|error| bad_shots(&error))?;

    let options = GenerateOptions {
        max_new_tokens: DEV_TOKENS,
        beams: 1,
        ..GenerateOptions::default()
    };
    let mut measure = |model_now: &Model<B>, prompts: &[Var<B>]| {
        let mut total = 0.0;
        for (task, examples, prompt) in &dev {
            let prompt = prompt.map(|index| &prompts[index]);
            let (answers, _) = answers(
                model_now,
                &model.tokenizer,
                &**task,
                examples,
                prompt,
                &options,
                context.stop,
            )
            // Training asks the device itself and tells why it failed.
            .ok()??;
            total += judge(&**task, examples, &answers)
                .expect("there are rows")
                .value;
        }
        let target = total / dev.len() as f64;
        match &selection {
            Some(selection) => selection.measure(target, model_now),
            None => Some(Measurement::from(target)),
        }
    };
    let watchers = Watchers {
        measure: Some(&mut measure),
        drift: drift.as_mut(),
    };
    let trained = train_with(work, params, tune, model, adapters, &batches, watchers)?;
    if let Some(ended) = &trained.ended_early {
        context.events.emit(Event::Warning {
            stage: stage.name.clone(),
            message: format!(
                "tuning ended after step {} of {}: {}",
                ended.step, params.steps, ended.reason
            ),
        });
    }
    if let Some(drift) = drift {
        let file = drift.into_file(trained.ended_early.clone());
        let json = serde_json::to_vec_pretty(&file).expect("plain data serialises");
        work.directory.write("drift.json", &json)?;
    }
    if batches.truncated() > 0 {
        context.events.emit(Event::Warning {
            stage: stage.name.clone(),
            message: format!(
                "{} training inputs were cut to the length limit",
                batches.truncated()
            ),
        });
    }
    Ok(trained)
}

/// What looks at a stage's model while it is trained.
pub(super) struct Watchers<'w, 'm, 'd, B: TrainingBackend> {
    /// Measures checkpoints.
    pub(super) measure: Option<&'w mut Measure<'m, B>>,
    /// Answers foreign prompts.
    pub(super) drift: Option<&'w mut DriftMonitor<'d, B>>,
}

/// Trains on `batches`, or goes on where an interrupted run stopped.
pub(super) fn train_with<B: TrainingBackend>(
    work: &Work<'_, B>,
    params: &TrainParams,
    tune: Tune,
    model: &LoadedModel<B>,
    adapters: &Adapters,
    batches: &dyn BatchSource,
    watchers: Watchers<'_, '_, '_, B>,
) -> Result<Trained<B>, RunError> {
    let Work {
        stage,
        directory,
        context,
        layout,
    } = *work;
    context.events.emit(Event::StageStarted {
        stage: stage.name.clone(),
        total: params.steps,
    });
    let options = train_options(
        params,
        tune,
        context.plan.seed.child(&stage.name, "dropout"),
    );
    // A closure of its own shortens the measure's lifetime to that of this call.
    let measure = watchers.measure;
    let mut measure = measure.map(|measure| move |m: &Model<B>, p: &[Var<B>]| measure(m, p));
    let keep = |step: u64, model: &Model<B>, adapters: &Adapters| {
        layout(&directory.checkpoint(step), model, adapters)
    };
    // Training knows no reason but a stop for an observer that does not go on.
    let mut failure = None;
    let failed = &mut failure;
    let every = params.drift.as_ref().map_or(1, |drift| drift.every);
    let mut observe = watchers.drift.map(|drift| {
        move |seen: &InTraining<'_, B>| match drift.observe(seen) {
            Ok(observed) => observed,
            Err(error) => {
                *failed = Some(error);
                None
            }
        }
    });
    let surroundings = Surroundings {
        stage: &stage.name,
        batches,
        directory: &directory.work(),
        events: context.events,
        stop: context.stop,
        measure: measure
            .as_mut()
            .map(|measure| measure as &mut Measure<'_, B>),
        keep: params.keep_checkpoints.then_some(&keep as &Keep<'_, B>),
        observer: observe.as_mut().map(|observe| Observer {
            every,
            observe: observe as &mut Observe<'_, B>,
        }),
    };
    let trained = train(model.model.clone(), adapters, &options, surroundings);
    match failure {
        Some(failure) => Err(failure),
        None => Ok(trained?),
    }
}

fn train_options(params: &TrainParams, tune: Tune, seed: Seed) -> TrainOptions {
    let optimizer = |scale_by_parameter: bool, factored: bool| match params.optimizer {
        OptimizerKind::Adafactor => Optimizer::Adafactor(AdafactorOptions {
            multiply_by_parameter_scale: scale_by_parameter,
            factored,
            ..AdafactorOptions::default()
        }),
        OptimizerKind::Adamw => Optimizer::AdamW(AdamWOptions {
            weight_decay: params.weight_decay as f32,
            ..AdamWOptions::default()
        }),
    };
    let schedule = |rate: f64| Schedule {
        base: rate as f32,
        warmup: params.warmup,
        decay: params.decay,
    };
    // Prompts keep all second moments, as in Lester et al. 2021; so do low-rank changes.
    let factored = !matches!(tune, Tune::Prompts | Tune::Lora);
    // Tuned together with the model, a prompt is still updated as it is alone: its moments are those
    // of few rows, and its values, which start anywhere, are no measure for how far they have to go.
    let prompts = params.prompt_learning_rate.map(|rate| PromptUpdates {
        optimizer: optimizer(false, false),
        schedule: schedule(rate),
    });
    TrainOptions {
        tune,
        steps: params.steps,
        checkpoint_every: params.checkpoint_every,
        optimizer: optimizer(params.scale_by_parameter, factored),
        schedule: schedule(params.learning_rate),
        prompts,
        max_gradient_norm: params.max_gradient_norm.map(|norm| norm as f32),
        micro_batches: params.micro_batches,
        recompute: params.recompute,
        smoothing: LabelSmoothing::t5x(params.label_smoothing as f32),
        dropout: params.dropout as f32,
        seed,
    }
}

/// Writes what was tuned, and how.
pub(super) fn write_result<B: TrainingBackend>(
    work: &Work<'_, B>,
    trained: &Trained<B>,
) -> Result<(), RunError> {
    let artifact = work.directory.artifact();
    (work.layout)(&artifact, &trained.model, &trained.adapters)?;
    let summary = TrainSummary {
        best_step: trained.best_step,
        history: trained.history.clone(),
        ended_early: trained.ended_early.clone(),
    };
    let json = serde_json::to_vec_pretty(&summary).expect("plain data serialises");
    work.directory.write("training.json", &json)
}

/// Writes a model as a Hugging Face directory with its tokenizer.
pub(super) fn write_model<B: TrainingBackend>(
    to: &Path,
    model: &Model<B>,
    tokenizer: &Tokenizer,
    precision: SavePrecision,
) -> Result<(), CheckpointError> {
    save_model(model, to, precision)?;
    let path = to.join("tokenizer.json");
    write_atomically(&path, tokenizer.to_json().as_bytes())
        .map_err(|source| CheckpointError::Io { path, source })
}
