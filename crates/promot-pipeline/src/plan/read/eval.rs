//! `eval` stages.

use super::{Reader, Wanted};
use crate::diagnostic::{Diagnostics, Place};
use crate::plan::params::{DataSource, DrawShots, EvalModel, EvalParams, EvalTask};
use crate::spec::{Fields, Node, Value};

/// A task of the list, and where it is named.
struct Named {
    task: EvalTask,
    place: Place,
    /// Whether `sources` has files for it, be it with problems.
    has_source: bool,
}

impl Reader<'_> {
    pub(super) fn eval(&mut self, node: &Node) -> Option<EvalParams> {
        let mut fields = Fields::of(node, "eval", self.diagnostics);
        let models = fields
            .require("models", self.diagnostics)
            .map(|node| self.eval_models(node));
        let targets = match fields.take("target") {
            Some(node) => self
                .names(node, "target")
                .into_iter()
                .map(|(name, place)| {
                    self.refer(name, place, Wanted::Data);
                    name.to_owned()
                })
                .collect(),
            None => Vec::new(),
        };
        let tasks = self.tasks_with_sources(&mut fields);
        let shots = match fields.take("shots") {
            Some(node) => self.shot_counts(node),
            None => vec![1],
        };
        let draws = [("each_row", DrawShots::EachRow), ("once", DrawShots::Once)];
        let draw_shots = fields.choice("draw_shots", &draws, DrawShots::EachRow, self.diagnostics);
        let count = |fields: &mut Fields<'_>, d: &mut Diagnostics, key, range, default| {
            fields.count(key, range, default, d) as usize
        };
        let rows = count(&mut fields, self.diagnostics, "rows", 1..=1_000_000, 200);
        let target_rows = count(
            &mut fields,
            self.diagnostics,
            "target_rows",
            1..=1_000_000,
            rows as u64,
        );
        let beams = count(&mut fields, self.diagnostics, "beams", 1..=64, 4);
        let max_new_tokens = count(
            &mut fields,
            self.diagnostics,
            "max_new_tokens",
            1..=4096,
            64,
        );
        let compare_with = match (fields.take("compare_with"), &models) {
            (Some(node), Some(models)) => self.label(node, models),
            _ => 0,
        };
        let place = fields.place();
        fields.finish(self.diagnostics);
        if tasks.is_empty() && targets.is_empty() {
            self.diagnostics
                .push(place, "eval: expected `target` or `tasks` to measure", None);
        }
        Some(EvalParams {
            models: models?,
            targets,
            tasks,
            shots,
            draw_shots,
            rows,
            target_rows,
            beams,
            max_new_tokens,
            compare_with,
        })
    }

    /// The tasks named in `tasks`, with their rows as `sources` has them.
    pub(super) fn tasks_with_sources(&mut self, fields: &mut Fields<'_>) -> Vec<EvalTask> {
        let tasks = fields.take("tasks").map(|node| self.eval_tasks(node));
        let mut tasks: Vec<Named> = tasks.unwrap_or_default();
        if let Some(node) = fields.take("sources") {
            self.eval_sources(node, &mut tasks);
        }
        for evaluated in tasks.iter().filter(|task| !task.has_source) {
            self.check_mini(&evaluated.task.task, evaluated.place);
        }
        tasks.into_iter().map(|named| named.task).collect()
    }

    /// `Label: base`, `Label: stage`, or `Label: { model: stage, prompt: stage }`.
    fn eval_models(&mut self, node: &Node) -> Vec<EvalModel> {
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "`models`: expected names with stages, found {}",
                node.describe()
            );
            let hint = "for example `models: {Pretrained: base, Fine-tuned: finetuned}`".to_owned();
            self.diagnostics.push(node.place, message, Some(hint));
            return Vec::new();
        };
        let mut models = Vec::new();
        for (label, _, body) in entries {
            if let Some(name) = body.as_text() {
                let model = self.model(name, body.place);
                models.push(EvalModel {
                    label: label.clone(),
                    model,
                    prompts: Vec::new(),
                });
                continue;
            }
            let mut fields = Fields::of(body, format!("model `{label}`"), self.diagnostics);
            let model = self.model_name(&mut fields, "model");
            let mut prompts = Vec::new();
            match fields.take("prompt") {
                Some(Node {
                    value: Value::Map(by_target),
                    ..
                }) => {
                    for (target, place, node) in by_target {
                        self.refer(target, *place, Wanted::Data);
                        if let Some(name) = self.reference(node, "prompt", Wanted::Adapter) {
                            prompts.push((target.clone(), name));
                        }
                    }
                }
                // One prompt for whatever the target is: an empty name until targets are known.
                Some(node) => {
                    if let Some(name) = self.reference(node, "prompt", Wanted::Adapter) {
                        prompts.push((String::new(), name));
                    }
                }
                None => {}
            }
            fields.finish(self.diagnostics);
            models.push(EvalModel {
                label: label.clone(),
                model,
                prompts,
            });
        }
        models
    }

    /// The position of the model whose label is given.
    fn label(&mut self, node: &Node, models: &[EvalModel]) -> usize {
        let labels: Vec<&str> = models.iter().map(|model| model.label.as_str()).collect();
        let found = node
            .as_text()
            .and_then(|text| labels.iter().position(|label| *label == text));
        if found.is_none() {
            let found = node
                .as_text()
                .map_or_else(|| node.describe(), str::to_owned);
            self.diagnostics
                .unknown(node.place, "label of a model", &found, &labels);
        }
        found.unwrap_or(0)
    }

    /// Names of tasks; their rows are those of the mini world unless `sources` says otherwise.
    fn eval_tasks(&mut self, node: &Node) -> Vec<Named> {
        let mut evaluated = Vec::new();
        for (name, place) in self.names(node, "tasks") {
            if let Some(task) = self.task_name(name, place) {
                evaluated.push(Named {
                    task: EvalTask {
                        task,
                        source: DataSource::Mini,
                    },
                    place,
                    has_source: false,
                });
            }
        }
        evaluated
    }

    /// `sources: { cb: { jsonl: { train: FILE, validation: FILE } } }`.
    fn eval_sources(&mut self, node: &Node, evaluated: &mut [Named]) {
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "`sources`: expected tasks with sources, found {}",
                node.describe()
            );
            self.diagnostics.push(node.place, message, None);
            return;
        };
        for (name, place, node) in entries {
            let source = self.source(node, self.tasks.find(name).as_ref());
            match evaluated.iter_mut().find(|named| named.task.task == *name) {
                Some(named) => {
                    named.has_source = !matches!(source, Some(DataSource::Mini));
                    named.task.source = source.unwrap_or(DataSource::Mini);
                }
                None if self.tasks.is_broken(name) => {}
                None => {
                    let names: Vec<&str> = evaluated
                        .iter()
                        .map(|named| named.task.task.as_str())
                        .collect();
                    self.diagnostics
                        .unknown(*place, "evaluated task", name, &names);
                }
            }
        }
    }

    fn shot_counts(&mut self, node: &Node) -> Vec<usize> {
        let numbers: Vec<&Node> = match &node.value {
            Value::List(list) => list.iter().collect(),
            _ => vec![node],
        };
        let mut shots = Vec::new();
        for node in numbers {
            let number = match &node.value {
                Value::Scalar(scalar) => scalar.as_u64().filter(|&n| n <= 64),
                _ => None,
            };
            match number {
                Some(number) => shots.push(number as usize),
                None => {
                    let message = format!(
                        "`shots`: expected whole numbers from 0 to 64, found {}",
                        node.describe()
                    );
                    self.diagnostics.push(node.place, message, None);
                }
            }
        }
        shots
    }
}
