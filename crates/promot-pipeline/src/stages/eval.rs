//! `eval`: models measured on the tuned tasks and on tasks nobody tuned for (paper section 5).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use promot_core::{Event, Example, MetricRecord};
use promot_data::fewshot::FewShot;
use promot_data::source::{Source, load};
use promot_data::split::Split;
use promot_data::task::{AnswerFormat, Task, TaskRef};
use promot_model::backend::Host;
use promot_model::checkpoint::Adapter;
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use serde::{Deserialize, Serialize};

use super::measure::{answers, judge};
use super::rows::{evaluation_rows, shots_seed};
use super::training::{adapter_of, starting_model};
use crate::plan::{DrawShots, EvalModel, EvalParams, Stage, StageKind};
use crate::report::answers::{answers_file, to_json_lines};
use crate::report::{AnsweredRow, Cell, SampleOutput, TableData};
use crate::run::{Context, LoadedModel, RunError, StageDirectory, make_directory};

/// Outputs kept of every cell, to be looked at.
const SAMPLES: usize = 3;

/// One task with one number of worked examples.
struct Measured {
    task: TaskRef,
    shots: usize,
    /// For targets the data stage, by which prompts are found.
    target: Option<String>,
    examples: Vec<Example>,
}

/// What an interrupted run keeps of a finished cell.
#[derive(Serialize, Deserialize)]
struct Finished {
    cell: Cell,
    /// All of the model's answers.
    outputs: Vec<String>,
}

pub(crate) fn run(
    params: &EvalParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_>,
) -> Result<(), RunError> {
    let measured = measured(params, context)?;
    let total = (params.models.len() * measured.len()) as u64;
    context.events.emit(Event::StageStarted {
        stage: stage.name.clone(),
        total,
    });
    let formats = target_labels(&measured);
    let mut finished: Vec<Finished> = Vec::new();
    for (column, model) in params.models.iter().enumerate() {
        let mut loaded: Option<LoadedModel> = None;
        for (row, what) in measured.iter().enumerate() {
            let file = directory.work().join(format!("cell-{column}-{row}.json"));
            let cell = match read_cell(&file, what) {
                Some(cell) => cell,
                None => {
                    if loaded.is_none() {
                        loaded = Some(starting_model(model.model.as_deref(), context)?);
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

/// Targets without worked examples, then every task with each number of them.
fn measured(params: &EvalParams, context: &Context<'_>) -> Result<Vec<Measured>, RunError> {
    let mut measured = Vec::new();
    for target in &params.targets {
        let StageKind::Data(data) = &context.artifact(target).0.kind else {
            unreachable!("types were checked");
        };
        let task = context.plan.task(&data.task);
        measured.push(Measured {
            examples: examples(&*task, &data.source.source(), 0, params, context)?,
            task,
            shots: 0,
            target: Some(target.clone()),
        });
    }
    for &shots in &params.shots {
        for evaluated in &params.tasks {
            let task = context.plan.task(&evaluated.task);
            measured.push(Measured {
                examples: examples(&*task, &evaluated.source.source(), shots, params, context)?,
                task,
                shots,
                target: None,
            });
        }
    }
    Ok(measured)
}

/// A task's rows as prompts with `shots` worked examples.
fn examples(
    task: &dyn Task,
    source: &Source,
    shots: usize,
    params: &EvalParams,
    context: &Context<'_>,
) -> Result<Vec<Example>, RunError> {
    let rows = evaluation_rows(task, source, Some(params.rows))?;
    // Only few-shot prompts need training rows.
    let pool = match shots {
        0 => Vec::new(),
        _ => load(task, source, Split::Train, None)?,
    };
    let seed = shots_seed(context.plan.seed);
    let few = FewShot::new(task, &pool, shots, seed).map_err(|error| {
        RunError::mismatch(error.to_string(), "give the task more training rows")
    })?;
    let few = match params.draw_shots {
        DrawShots::EachRow => few,
        DrawShots::Once => few.drawn_once(),
    };
    let examples: Result<Vec<Example>, _> = rows.iter().map(|row| few.example(row, 0)).collect();
    examples.map_err(|error| RunError::mismatch(error.to_string(), "mend the row or leave it out"))
}

/// The words that targets are answered with.
fn target_labels(measured: &[Measured]) -> Vec<String> {
    let mut words = Vec::new();
    for what in measured.iter().filter(|what| what.target.is_some()) {
        if let AnswerFormat::Labels(labels) = what.task.answer_format() {
            words.extend(labels);
        }
    }
    words
}

fn measure(
    params: &EvalParams,
    stage: &Stage,
    model: &EvalModel,
    loaded: &LoadedModel,
    what: &Measured,
    formats: &[String],
    context: &Context<'_>,
) -> Result<Finished, RunError> {
    // The prompt is attached where the task is the tuned one, and dropped everywhere else.
    let named = what.target.as_ref().and_then(|target| {
        model
            .prompts
            .iter()
            .find(|(of, _)| of == target)
            .map(|(_, prompt)| prompt)
    });
    let adapter = named.map(|name| adapter_of(name, loaded, context));
    let (answering, prompt) = match adapter.transpose()? {
        Some(Adapter::Prompt(prompt)) => {
            let prompt = prompt.to_tensor(loaded.model.device());
            (loaded.model.clone(), Some(Var::<Host>::constant(prompt)))
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
    )
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
        with_prompt: named.is_some(),
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

/// The share of answers that begin with one of the target's labels, where the task has a format of
/// its own.
fn format_share(what: &Measured, formats: &[String], outputs: &[String]) -> Option<f64> {
    if formats.is_empty() || what.task.answer_format() != AnswerFormat::Text {
        return None;
    }
    let foreign = outputs
        .iter()
        .filter(|output| formats.iter().any(|label| begins_with(output, label)));
    Some(100.0 * foreign.count() as f64 / outputs.len() as f64)
}

/// Whether the first words of `output`, without punctuation, are those of `label`.
fn begins_with(output: &str, label: &str) -> bool {
    let mut words = output.split_whitespace();
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    label.split_whitespace().all(|expected| {
        words
            .next()
            .is_some_and(|word| bare(word) == bare(expected))
    })
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn labels_are_compared_word_by_word() {
        for (output, label) in [("\"True\", I think", "True"), ("very good.", "very good")] {
            assert!(begins_with(output, label), "{output}");
        }
        for (output, label) in [("Truely", "True"), ("very", "very good"), ("", "True")] {
            assert!(!begins_with(output, label), "{output}");
        }
    }
}
