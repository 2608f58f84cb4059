//! `eval` stages, and `curve` stages, which measure in the same way.

use std::ops::RangeInclusive;

use super::{Reader, Wanted};
use crate::diagnostic::{Diagnostics, Place};
use crate::plan::params::{CurveParams, DataSource, DrawShots, EvalModel, EvalParams, EvalTask};
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
        let params = self.evaluation(&mut fields, "eval");
        let compare_with = fields.take("compare_with");
        let published = fields.take("published");
        fields.finish(self.diagnostics);
        let mut params = params?;
        if let Some(node) = compare_with {
            params.compare_with = self.label(node, &params.models);
        }
        if let Some(node) = published {
            params.published = self.published(node, &params);
        }
        Some(params)
    }

    /// The models that it names become columns when the stages that they name are known.
    pub(super) fn curve(&mut self, node: &Node) -> Option<CurveParams> {
        let mut fields = Fields::of(node, "curve", self.diagnostics);
        let eval = self.evaluation(&mut fields, "curve");
        let steps = fields.take("steps");
        let steps = steps.map(|node| self.numbers(node, "steps", 0..=u64::MAX));
        fields.finish(self.diagnostics);
        self.curve.steps = steps;
        Some(CurveParams {
            series: Vec::new(),
            eval: eval?,
        })
    }

    /// All that says what is measured, and how.
    fn evaluation(&mut self, fields: &mut Fields<'_>, what: &str) -> Option<EvalParams> {
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
        let tasks = self.tasks_with_sources(fields);
        let shots = match fields.take("shots") {
            Some(node) => self.numbers(node, "shots", 0..=64),
            None => vec![(1, fields.place())],
        };
        let shots = shots.into_iter().map(|(shots, _)| shots as usize).collect();
        let draws = [("each_row", DrawShots::EachRow), ("once", DrawShots::Once)];
        let draw_shots = fields.choice("draw_shots", &draws, DrawShots::EachRow, self.diagnostics);
        let count = |fields: &mut Fields<'_>, d: &mut Diagnostics, key, range, default| {
            fields.count(key, range, default, d) as usize
        };
        let rows = count(fields, self.diagnostics, "rows", 1..=1_000_000, 200);
        let target_rows = count(
            fields,
            self.diagnostics,
            "target_rows",
            1..=1_000_000,
            rows as u64,
        );
        let beams = count(fields, self.diagnostics, "beams", 1..=64, 4);
        let max_new_tokens = count(fields, self.diagnostics, "max_new_tokens", 1..=4096, 64);
        if tasks.is_empty() && targets.is_empty() {
            let message = format!("{what}: expected `target` or `tasks` to measure");
            self.diagnostics.push(fields.place(), message, None);
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
            compare_with: 0,
            published: None,
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
        if entries.is_empty() {
            self.diagnostics
                .push(node.place, "`models`: nothing to measure", None);
        }
        let mut models = Vec::new();
        for (label, place, body) in entries {
            if label.trim().is_empty() || label.contains(char::is_control) {
                let message = "`models`: a label is a line of text";
                self.diagnostics.push(*place, message, None);
            }
            self.curve.models.push(body.place);
            if let Some(name) = body.as_text() {
                let model = self.model(name, body.place);
                models.push(EvalModel {
                    label: label.clone(),
                    model,
                    prompts: Vec::new(),
                    at: None,
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
                at: None,
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

    /// A whole number, or a list of them, with their places.
    fn numbers(&mut self, node: &Node, key: &str, range: RangeInclusive<u64>) -> Vec<(u64, Place)> {
        let mut numbers = Vec::new();
        for node in node.one_or_more() {
            match node.as_count().filter(|n| range.contains(n)) {
                Some(number) => numbers.push((number, node.place)),
                None => {
                    let (first, last) = (range.start(), range.end());
                    let range = if *last == u64::MAX {
                        String::new()
                    } else {
                        format!(" from {first} to {last}")
                    };
                    let message = format!(
                        "`{key}`: expected whole numbers{range}, found {}",
                        node.describe()
                    );
                    self.diagnostics.push(node.place, message, None);
                }
            }
        }
        numbers
    }
}
