//! What comes out of an evaluation: as data, as a table for the terminal, as Markdown, as a page.

mod alignment;
pub(crate) mod answers;
mod card;
mod collect;
mod csv;
mod curve;
mod curve_table;
mod details;
mod differences;
mod drift;
mod flips;
mod grid;
mod html;
mod markdown;
mod matrix;
mod measured;
mod plot;
mod published;
#[cfg(test)]
mod sample;
mod summary;
mod table;
mod tensorboard;

pub use alignment::{AlignmentData, AlignmentPoint};
pub use answers::AnsweredRow;
pub use card::{Card, CardBase, CardFiles, CardStage};
pub use collect::CollectError;
pub(crate) use collect::read_table;
pub use csv::{CsvFile, curve_files};
pub(crate) use curve::{CURVE_FILE, CurveFile};
pub use curve::{CurveData, CurvePoint, CurveSeries};
pub use curve_table::terminal_curves;
pub use details::{AnsweredTask, Details, StageDetails};
pub use differences::{ComparedOver, ModelDifference};
pub use drift::DriftRecord;
pub use flips::{Flip, Flips};
pub use html::{html, matrix_html};
pub use markdown::markdown;
pub use matrix::{MatrixCell, MatrixGroup, MatrixRow, MatrixSummary, MatrixTable};
pub use plot::{Line, Plot, Point, Topic};
pub use published::{PublishedRow, PublishedTable};
pub use summary::Summary;
pub use table::terminal;
pub use tensorboard::{EventFile, event_files};

use std::collections::BTreeMap;

use promot_core::MetricRecord;
use promot_model::gemm::Precision;
use serde::{Deserialize, Serialize};

/// A model's output on one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleOutput {
    /// The prompt.
    pub input: String,
    /// The answer that was expected.
    pub target: String,
    /// What the model said.
    pub output: String,
}

/// One model on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The model's name in the table.
    pub model: String,
    /// Whether this is a tuned task.
    pub is_target: bool,
    /// Whether the model's soft prompt preceded the inputs.
    pub with_prompt: bool,
    /// The score.
    pub record: MetricRecord,
    /// A few outputs.
    pub samples: Vec<SampleOutput>,
}

/// Everything an evaluation measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableData {
    /// Columns in order. The first is what the others are compared with.
    pub models: Vec<String>,
    /// All scores.
    pub cells: Vec<Cell>,
    /// Titles of the tasks that the pipeline defines, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub titles: BTreeMap<String, String>,
    /// The model that `differences` are to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
    /// All other models' differences to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<ModelDifference>,
}

/// A finished pipeline's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The pipeline's name.
    pub pipeline: String,
    /// The seed.
    pub seed: u64,
    /// In which numbers matrix products were computed.
    pub precision: Precision,
    /// The kernels that computed them; several if stages ran on different processors.
    pub kernels: Vec<String>,
    /// Each evaluation stage's name and what it measured.
    pub tables: Vec<(String, TableData)>,
    /// Each tuning stage's name and the checkpoints it measured.
    pub training: Vec<(String, serde_json::Value)>,
    /// Each curve stage's name and what it measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<(String, CurveData)>,
    /// Each gradients stage's name and what it measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alignments: Vec<(String, AlignmentData)>,
    /// Each monitored tuning stage's name and what its drift monitor saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<(String, Vec<DriftRecord>)>,
    /// Each evaluation stage's name and the means that its table begins with.
    pub summaries: Vec<(String, Vec<Summary>)>,
    /// Each evaluation stage's name and the rows that one model has right and another wrong.
    pub flips: Vec<(String, Vec<Flips>)>,
    /// Each evaluation stage's name and its scores beside those that somebody published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<(String, PublishedTable)>,
    /// What figures show of all that.
    pub plots: Vec<Plot>,
    /// What the run can be repeated by.
    pub card: Card,
}

impl Report {
    /// What is kept by the name of a stage.
    fn of_stage<'a, T>(kept: &'a [(String, Vec<T>)], stage: &str) -> &'a [T] {
        let found = kept.iter().find(|(name, _)| name == stage);
        found.map_or(&[], |(_, list)| list)
    }
}

impl TableData {
    fn cell(&self, model: &str, task: &str, shots: usize, target: bool) -> Option<&Cell> {
        self.cells.iter().find(|cell| {
            cell.model == model
                && cell.record.task == task
                && cell.record.shots == shots
                && cell.is_target == target
        })
    }

    /// Task names in the order they were measured.
    fn tasks(&self, target: bool) -> Vec<&str> {
        let mut tasks = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.is_target == target) {
            if !tasks.contains(&cell.record.task.as_str()) {
                tasks.push(&cell.record.task);
            }
        }
        tasks
    }

    /// Numbers of worked examples in the order they were measured.
    fn shots(&self) -> Vec<usize> {
        let mut shots = Vec::new();
        for cell in self.cells.iter().filter(|cell| !cell.is_target) {
            if !shots.contains(&cell.record.shots) {
                shots.push(cell.record.shots);
            }
        }
        shots
    }

    /// What a task is called in tables.
    fn title(&self, task: &str) -> String {
        self.titles.get(task).cloned().unwrap_or_else(|| {
            let task_of_ours = promot_data::task::find_task(task);
            task_of_ours.map_or(task.to_owned(), |task| task.title().to_owned())
        })
    }

    /// The plain mean over the evaluation tasks, in [0, 100] (paper section 5.1).
    pub fn normalized_average(&self, model: &str, shots: usize) -> Option<f64> {
        let scores: Vec<f64> = self
            .cells
            .iter()
            .filter(|cell| !cell.is_target && cell.model == model && cell.record.shots == shots)
            .map(|cell| cell.record.value)
            .collect();
        promot_data::metric::normalized_average(&scores)
    }

    /// The mean score and mean share of answers in the target's format over the tasks whose format
    /// is foreign to the target.
    pub fn foreign(&self, model: &str, shots: usize) -> Option<(f64, f64)> {
        let foreign: Vec<(f64, f64)> = self
            .cells
            .iter()
            .filter(|cell| !cell.is_target && cell.model == model && cell.record.shots == shots)
            .filter_map(|cell| Some((cell.record.value, cell.record.format_share?)))
            .collect();
        let mean = |pick: fn(&(f64, f64)) -> f64| {
            foreign.iter().map(pick).sum::<f64>() / foreign.len() as f64
        };
        (!foreign.is_empty()).then(|| (mean(|pair| pair.0), mean(|pair| pair.1)))
    }
}

/// The rows of a table, as texts: a heading, the columns' names, then what is in them.
struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Lays a table out like the paper's Table 3: the target first, then the average with its
/// difference to the first model, then every task.
fn rows(data: &TableData) -> Rows {
    let shots = data.shots();
    let columns: Vec<(&String, usize)> = data
        .models
        .iter()
        .flat_map(|model| shots.iter().map(move |&k| (model, k)))
        .collect();
    let mut header = vec!["task".to_owned(), "rows".to_owned()];
    if shots.is_empty() {
        header.extend(data.models.iter().cloned());
    }
    header.extend(
        columns
            .iter()
            .map(|(model, k)| format!("{model}, {k}-shot")),
    );
    let mut rows = Vec::new();
    for task in data.tasks(true) {
        let samples = data.models.iter().find_map(|m| data.cell(m, task, 0, true));
        let mut row = vec![
            format!("{} (tuned, 0-shot)", data.title(task)),
            samples.map_or(String::new(), |cell| cell.record.samples.to_string()),
        ];
        for model in &data.models {
            let cell = data.cell(model, task, 0, true);
            row.push(cell.map_or("-".to_owned(), |cell| {
                let mark = if cell.with_prompt { " [prompt]" } else { "" };
                format!("{:.1} ±{:.1}{mark}", cell.record.value, cell.record.margin)
            }));
            row.extend(std::iter::repeat_n(
                String::new(),
                shots.len().saturating_sub(1),
            ));
        }
        rows.push(row);
    }
    if shots.is_empty() {
        return Rows { header, rows };
    }
    let with_delta = |value: Option<f64>, first: Option<f64>, is_first: bool| match (value, first) {
        (Some(value), Some(first)) if !is_first => format!("{value:.1} ({:+.1})", value - first),
        (Some(value), _) => format!("{value:.1}"),
        (None, _) => "-".to_owned(),
    };
    let mut average = vec!["Norm. Avg.".to_owned(), String::new()];
    let mut foreign = vec!["foreign formats".to_owned(), String::new()];
    let mut share = vec![
        "answers in the target's format, %".to_owned(),
        String::new(),
    ];
    for (model, k) in &columns {
        let is_first = *model == &data.models[0];
        let first = data.normalized_average(&data.models[0], *k);
        average.push(with_delta(
            data.normalized_average(model, *k),
            first,
            is_first,
        ));
        let first = data.foreign(&data.models[0], *k).map(|(score, _)| score);
        let own = data.foreign(model, *k);
        foreign.push(with_delta(own.map(|(score, _)| score), first, is_first));
        share.push(own.map_or("-".to_owned(), |(_, share)| format!("{share:.1}")));
    }
    rows.push(average);
    if data
        .cells
        .iter()
        .any(|cell| cell.record.format_share.is_some())
    {
        rows.push(foreign);
        rows.push(share);
    }
    for task in data.tasks(false) {
        let samples = data
            .cells
            .iter()
            .find(|cell| !cell.is_target && cell.record.task == task);
        let mut row = vec![
            data.title(task),
            samples.map_or(String::new(), |cell| cell.record.samples.to_string()),
        ];
        for (model, k) in &columns {
            row.push(
                data.cell(model, task, *k, false)
                    .map_or("-".to_owned(), |cell| {
                        let record = &cell.record;
                        let share = record
                            .format_share
                            .map_or(String::new(), |s| format!(" {s:.0}%"));
                        format!("{:.1} ±{:.1}{share}", record.value, record.margin)
                    }),
            );
        }
        rows.push(row);
    }
    Rows { header, rows }
}

/// What the numbers in a table mean.
const LEGEND: &str = "score ±half of the 95% interval; a percentage is the share of answers in the \
tuned task's format; [prompt]: with the model's own soft prompt, which is dropped everywhere else; \
in brackets the difference to the first model";
