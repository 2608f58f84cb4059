//! What training stages share: from rows to batches, from checkpoints to a score.

use std::path::Path;

use promot_core::{BatchSource, Event, Example};
use promot_data::fewshot::FewShot;
use promot_data::task::TaskRef;
use promot_data::training::{TaskBatches, TrainingTask};
use promot_model::arch::Model;
use promot_model::checkpoint::CheckpointError;
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use promot_model::train::{
    Adapters, InTraining, Keep, Measure, Measurement, Observe, Observer, Surroundings, Trained,
    TrainingBackend, Tune, train,
};

use super::drift::DriftMonitor;
use super::inputs::TunedTask;
use super::labels::impossible_labels;
use super::measure::{answers, judge};
use super::options::train_options;
use super::rows::shots_seed;
use super::select::Selection;
use crate::plan::{Stage, TrainParams};
use crate::run::{Context, LoadedModel, RunError, StageDirectory};

/// Tokens of an answer when a checkpoint is measured.
const DEV_TOKENS: usize = 64;

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
