//! Evaluations as lm-evaluation-harness writes them: a directory for each model, with
//! `results_DATE.json` and a `samples_TASK_DATE.jsonl` for each task (version 0.4 of
//! `lm_eval/loggers/evaluation_tracker.py`).
//!
//! Accuracy and exact match are shares in [0, 1] as they are there, BLEU and ROUGE-2 are in [0, 100].

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use promot_core::{Digest, MetricKind, write_atomically};
use promot_data::metric::row_scores;
use promot_data::task::Task;
use serde_json::{Map, Value, json};

use crate::plan::{EvalParams, Plan, Stage};
use crate::report::answers::{AnsweredRow, answers_file, judged, measurement, read_answers};
use crate::report::{Cell, TableData, read_table};
use crate::run::{RunError, Store, make_directory};

/// Half the width of a 95% interval in standard errors.
const HALF_WIDTH: f64 = 1.96;

/// Writes what the finished evaluation `stage` measured to the directory `to`.
///
/// # Errors
/// If the stage's files are damaged, or the file system refuses.
pub fn export_evaluation(
    plan: &Plan,
    stage: &Stage,
    params: &EvalParams,
    store: &Store,
    to: &Path,
) -> Result<(), RunError> {
    let directory = store.stage(stage);
    let artifact = directory.artifact();
    let table = read_table(&artifact)?;
    let evaluation = Evaluation {
        plan,
        stage,
        params,
        table: &table,
        artifact: &artifact,
        finished_at: directory.finished_at()?,
    };
    for column in 0..table.models.len() {
        evaluation.write_model(column, to)?;
    }
    Ok(())
}

/// A finished evaluation.
struct Evaluation<'a> {
    plan: &'a Plan,
    stage: &'a Stage,
    params: &'a EvalParams,
    table: &'a TableData,
    artifact: &'a Path,
    finished_at: SystemTime,
}

/// What is collected of a model's tasks, under the keys that the results have.
#[derive(Default)]
struct Sections {
    results: Map<String, Value>,
    group_subtasks: Map<String, Value>,
    configs: Map<String, Value>,
    versions: Map<String, Value>,
    shots: Map<String, Value>,
    higher_is_better: Map<String, Value>,
    samples: Map<String, Value>,
    hashes: Map<String, Value>,
}

impl Evaluation<'_> {
    fn write_model(&self, column: usize, to: &Path) -> Result<(), RunError> {
        let label = &self.table.models[column];
        let to = to.join(sanitized(label));
        make_directory(&to)?;
        let time = DateTime::<Utc>::from(self.finished_at);
        let date = time.format("%Y-%m-%dT%H-%M-%S%.6f").to_string();
        let mut sections = Sections::default();
        for cell in self.table.cells.iter().filter(|cell| cell.model == *label) {
            let task = self.plan.task(&cell.record.task);
            let (shots, is_target) = (cell.record.shots, cell.is_target);
            let file = answers_file(task.name(), shots, is_target);
            let rows = read_answers(self.artifact, &file, self.table.models.len())?;
            let name = measurement(task.name(), shots, is_target, '_');
            let samples = self.samples(&*task, &rows, column)?;
            sections.add(&name, cell, &*task, &samples);
            let lines: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
            write(&to.join(format!("samples_{name}_{date}.jsonl")), &lines)?;
        }
        let results = sections.into_json(self, label);
        let mut text = serde_json::to_string_pretty(&results).expect("plain data serialises");
        text.push('\n');
        // Last: where there are results, there are their samples.
        write(&to.join(format!("results_{date}.json")), &text)
    }

    /// A task's rows with the answers of the model in `column`.
    fn samples(
        &self,
        task: &dyn Task,
        rows: &[AnsweredRow],
        column: usize,
    ) -> Result<Vec<Value>, RunError> {
        let metric = metric_name(task.metric());
        let judged = judged(task, rows, column);
        let scores = row_scores(task.metric(), &judged)?;
        let generation = json!({
            "max_gen_toks": self.params.max_new_tokens,
            "do_sample": false,
            "num_beams": self.params.beams,
        });
        let sample = |(id, row): (usize, &AnsweredRow)| {
            let doc = json!({
                "input": row.input,
                "target": row.target,
                "references": row.references,
            });
            let answer = &judged[id].output;
            let value = match &scores {
                Some(scores) => json!(scores[id] / percent(task.metric())),
                // What the harness computes BLEU of: pairs of reference and answer.
                None => match row.references.as_slice() {
                    [only] => json!([only, answer]),
                    several => json!([several, answer]),
                },
            };
            let text = serde_json::to_string_pretty(&doc).expect("plain data serialises");
            let mut sample = json!({
                "doc_id": id,
                "doc": doc,
                "target": row.target,
                "arguments": { "gen_args_0": { "arg_0": row.input, "arg_1": generation } },
                "resps": [[row.outputs[column]]],
                "filtered_resps": [answer],
                "filter": "none",
                "metrics": [metric],
                "doc_hash": Digest::of(text.as_bytes()),
                "prompt_hash": Digest::of(row.input.as_bytes()),
                "target_hash": Digest::of(row.target.as_bytes()),
            });
            sample[metric] = value;
            sample
        };
        Ok(rows.iter().enumerate().map(sample).collect())
    }
}

impl Sections {
    fn add(&mut self, name: &str, cell: &Cell, task: &dyn Task, samples: &[Value]) {
        let record = &cell.record;
        let metric = metric_name(record.metric);
        let percent = percent(record.metric);
        let result = json!({
            "alias": name,
            "sample_len": record.samples,
            format!("{metric},none"): record.value / percent,
            format!("{metric}_stderr,none"): stderr(cell, samples, metric),
        });
        let hashes = samples.iter().map(|sample| {
            let hash = |key: &str| sample[key].as_str().unwrap_or_default();
            hash("doc_hash").to_owned() + hash("prompt_hash") + hash("target_hash")
        });
        let hashes: String = hashes.collect();
        let config = json!({
            "task": name,
            "description": task.title(),
            "output_type": "generate_until",
            "num_fewshot": record.shots,
            "test_split": task.evaluation_split().name(),
            "metric_list": [{ "metric": metric, "higher_is_better": true }],
            "metadata": { "soft_prompt": cell.with_prompt },
        });
        let count = json!({ "original": record.samples, "effective": record.samples });
        for (section, value) in [
            (&mut self.results, result),
            (&mut self.group_subtasks, json!([])),
            (&mut self.configs, config),
            (&mut self.versions, json!(1)),
            (&mut self.shots, json!(record.shots)),
            (&mut self.higher_is_better, json!({ metric: true })),
            (&mut self.samples, count),
            (&mut self.hashes, json!(Digest::of(hashes.as_bytes()))),
        ] {
            section.insert(name.to_owned(), value);
        }
    }

    fn into_json(self, evaluation: &Evaluation<'_>, label: &str) -> Value {
        let seconds = evaluation
            .finished_at
            .duration_since(SystemTime::UNIX_EPOCH);
        json!({
            "results": self.results,
            "group_subtasks": self.group_subtasks,
            "configs": self.configs,
            "versions": self.versions,
            "n-shot": self.shots,
            "higher_is_better": self.higher_is_better,
            "n-samples": self.samples,
            "config": {
                "model": "promot",
                "model_args": format!("pipeline={},stage={}", evaluation.plan.name, evaluation.stage.name),
                "device": "cpu",
                "limit": evaluation.params.rows,
                "gen_kwargs": { "num_beams": evaluation.params.beams, "max_gen_toks": evaluation.params.max_new_tokens },
                "random_seed": evaluation.plan.seed.value(),
                "fewshot_seed": evaluation.plan.seed.value(),
                "model_dtype": evaluation.plan.precision.name(),
            },
            "git_hash": null,
            "date": seconds.map_or(0.0, |since| since.as_secs_f64()),
            "task_hashes": self.hashes,
            "model_source": "promot",
            "model_name": label,
            "model_name_sanitized": sanitized(label),
            "chat_template": null,
            "system_instruction": null,
        })
    }
}

/// The standard error of the mean where there are rows to take it over, as `mean_stderr` has it;
/// that of the bootstrap for BLEU.
fn stderr(cell: &Cell, samples: &[Value], metric: &str) -> Value {
    if cell.record.metric == MetricKind::Bleu {
        return json!(cell.record.margin / HALF_WIDTH);
    }
    let values = || samples.iter().filter_map(|sample| sample[metric].as_f64());
    let count = samples.len() as f64;
    let mean = values().sum::<f64>() / count;
    let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
    match samples.len() {
        0 | 1 => json!("N/A"),
        _ => json!((squares / (count - 1.0) / count).sqrt()),
    }
}

/// The harness's names.
fn metric_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Accuracy => "acc",
        MetricKind::ExactMatch => "exact_match",
        MetricKind::Bleu => "bleu",
        MetricKind::Rouge2 => "rouge2",
    }
}

/// What a score in [0, 100] is divided by to be in the harness's unit.
fn percent(kind: MetricKind) -> f64 {
    match kind {
        MetricKind::Accuracy | MetricKind::ExactMatch => 100.0,
        MetricKind::Bleu | MetricKind::Rouge2 => 1.0,
    }
}

/// A model's name as the harness makes a directory of it (`sanitize_model_name`). A name of dots
/// alone would be another directory.
fn sanitized(name: &str) -> String {
    let is_unsafe = |c: char| "\"<>:/|\\?*[]".contains(c) || c.is_control();
    let mut safe = String::new();
    let mut in_run = false;
    for c in name.chars() {
        if !is_unsafe(c) {
            safe.push(c);
        } else if !in_run {
            safe.push_str("__");
        }
        in_run = is_unsafe(c);
    }
    if safe.chars().all(|c| c == '.') {
        safe.insert_str(0, "__");
    }
    safe
}

fn write(path: &Path, text: &str) -> Result<(), RunError> {
    write_atomically(path, text.as_bytes()).map_err(|error| RunError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_directories_of_their_own() {
        for (name, expected) in [
            ("ProMoT+1-shot", "ProMoT+1-shot"),
            ("owner/model: a?", "owner__model__ a__"),
            ("..", "__.."),
            ("", "__"),
        ] {
            assert_eq!(sanitized(name), expected, "{name:?}");
        }
    }
}
