//! `eval`: models measured on the tuned tasks and on tasks nobody tuned for (paper section 5).

mod column;
pub(super) mod format;
pub(super) mod measured;
mod text_format;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use promot_core::{Event, MetricRecord};
use promot_model::checkpoint::Adapter;
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use promot_model::train::TrainingBackend;
use serde::{Deserialize, Serialize};

use super::measure::{answers, judge};
use crate::plan::{EvalModel, EvalParams, Stage};
use crate::report::answers::{answers_file, to_json_lines};
use crate::report::{AnsweredRow, Cell, SampleOutput, TableData};
use crate::run::{Context, LoadedModel, RunError, StageDirectory, make_directory};
use column::{adapter_for, model_of, same_as_before};
use format::{TargetFormat, format_share, target_formats};
use measured::{Measured, measured};

/// Outputs kept of every cell, to be looked at.
const SAMPLES: usize = 3;

/// What an interrupted run keeps of a finished cell.
#[derive(Serialize, Deserialize)]
struct Finished {
    cell: Cell,
    /// All of the model's answers.
    outputs: Vec<String>,
}

impl Finished {
    /// The same of another column.
    fn of(&self, label: &str) -> Self {
        let mut cell = self.cell.clone();
        cell.model = label.to_owned();
        Self {
            cell,
            outputs: self.outputs.clone(),
        }
    }
}

pub(crate) fn run<B: TrainingBackend>(
    params: &EvalParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    let measured = measured(params, context)?;
    let total = (params.models.len() * measured.len()) as u64;
    context.events.emit(Event::StageStarted {
        stage: stage.name.clone(),
        total,
    });
    let formats = target_formats(params, context)?;
    let mut finished: Vec<Finished> = Vec::new();
    for (column, model) in params.models.iter().enumerate() {
        let mut loaded: Option<LoadedModel<B>> = None;
        for (row, what) in measured.iter().enumerate() {
            let file = directory.work().join(format!("cell-{column}-{row}.json"));
            let same =
                same_as_before(&params.models, column, what).map(|c| c * measured.len() + row);
            let cell = match (read_cell(&file, what), same) {
                (Some(cell), _) => cell,
                (None, Some(same)) => finished[same].of(&model.label),
                (None, None) => {
                    if loaded.is_none() {
                        loaded = Some(model_of(model, context)?);
                    }
                    let loaded = loaded.as_ref().expect("just loaded");
                    let cell = measure(params, stage, model, loaded, what, &formats, context)?;
                    make_directory(&directory.work())?;
                    let json = serde_json::to_vec(&cell).expect("plain data serialises");
                    promot_core::write_atomically(&file, &json)
                        .map_err(|error| RunError::io(&file, error))?;
                    cell
                }
            };
            finished.push(cell);
            context.events.emit(Event::Evaluated {
                stage: stage.name.clone(),
                done: finished.len() as u64,
                total,
                what: format!(
                    "{}, {}, {}-shot",
                    model.label,
                    what.task.title(),
                    what.shots
                ),
            });
        }
    }
    write_answers(&measured, &finished, directory)?;
    let labels = params.models.iter().map(|model| model.label.clone());
    let table = TableData {
        models: labels.collect(),
        cells: finished.into_iter().map(|finished| finished.cell).collect(),
        titles: BTreeMap::new(),
        compared_with: None,
        differences: Vec::new(),
    };
    let json = serde_json::to_vec_pretty(&table).expect("plain data serialises");
    directory.write("table.json", &json)
}

/// What an interrupted run measured, if it was on the same rows.
fn read_cell(file: &Path, what: &Measured) -> Option<Finished> {
    let finished: Finished = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (finished.outputs.len() == what.examples.len()).then_some(finished)
}

/// Every measured task's rows with the answers of all models; `finished` has a model's cells one
/// after the other.
fn write_answers(
    measured: &[Measured],
    finished: &[Finished],
    directory: &StageDirectory,
) -> Result<(), RunError> {
    make_directory(&directory.artifact().join("answers"))?;
    for (position, what) in measured.iter().enumerate() {
        let cells = || finished.iter().skip(position).step_by(measured.len());
        let rows = what.examples.iter().enumerate().map(|(row, example)| {
            let outputs = cells().map(|cell| cell.outputs[row].clone());
            AnsweredRow::new(example, outputs.collect())
        });
        let rows: Vec<AnsweredRow> = rows.collect();
        let file = answers_file(what.task.name(), what.shots, what.target.is_some());
        directory.write(&file, to_json_lines(&rows).as_bytes())?;
    }
    Ok(())
}

fn measure<B: TrainingBackend>(
    params: &EvalParams,
    stage: &Stage,
    model: &EvalModel,
    loaded: &LoadedModel<B>,
    what: &Measured,
    formats: &[TargetFormat],
    context: &Context<'_, B>,
) -> Result<Finished, RunError> {
    let adapter = adapter_for(model, what, loaded, context)?;
    let with_prompt = adapter.is_some();
    let (answering, prompt) = match adapter {
        Some(Adapter::Prompt(prompt)) => {
            let prompt = prompt.to_tensor(loaded.model.device());
            (loaded.model.clone(), Some(Var::<B>::constant(prompt)))
        }
        Some(Adapter::Lora(lora)) => {
            let merged = lora.merged(&loaded.model).expect("checked to fit");
            (merged, None)
        }
        None => (loaded.model.clone(), None),
    };
    let options = GenerateOptions {
        max_new_tokens: params.max_new_tokens,
        beams: params.beams,
        ..GenerateOptions::default()
    };
    let (outputs, cut) = answers(
        &answering,
        &loaded.tokenizer,
        &*what.task,
        &what.examples,
        prompt.as_ref(),
        &options,
        context.stop,
    )?
    .ok_or_else(|| RunError::Interrupted {
        stage: stage.name.clone(),
    })?;
    if cut > 0 {
        context.events.emit(Event::Warning {
            stage: stage.name.clone(),
            message: format!(
                "{}: {cut} inputs were cut to the length limit",
                what.task.title()
            ),
        });
    }
    let score = judge(&*what.task, &what.examples, &outputs)?;
    let samples = what.examples.iter().zip(&outputs).take(SAMPLES);
    let samples = samples.map(|(example, output)| SampleOutput {
        input: example.input.clone(),
        target: example.target.clone(),
        output: output.clone(),
    });
    let cell = Cell {
        model: model.label.clone(),
        is_target: what.target.is_some(),
        with_prompt,
        record: MetricRecord {
            task: what.task.name().to_owned(),
            metric: what.task.metric(),
            value: score.value,
            margin: score.margin,
            samples: score.samples,
            shots: what.shots,
            format_share: format_share(what, formats, &outputs),
        },
        samples: samples.collect(),
    };
    Ok(Finished { cell, outputs })
}
