//! `gradients` stages.

use super::{Reader, Reference, Wanted};
use crate::diagnostic::Place;
use crate::plan::params::{GradientsModel, GradientsParams};
use crate::spec::{Fields, Node, Value};

impl Reader<'_> {
    pub(super) fn gradients(&mut self, node: &Node) -> Option<GradientsParams> {
        let mut fields = Fields::of(node, "gradients", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::Data);
        let steps = fields.take("steps").map(|node| self.step_numbers(node));
        let models = fields
            .require("models", self.diagnostics)
            .map(|node| self.gradients_models(node, steps.as_deref().unwrap_or_default()));
        let batches = fields.count("batches", 2..=10_000, 8, self.diagnostics) as usize;
        let batch_size = fields.count("batch_size", 1..=65_536, 64, self.diagnostics) as usize;
        fields.finish(self.diagnostics);
        Some(GradientsParams {
            on: on?,
            models: models?,
            steps: steps.map(|steps| steps.into_iter().map(|(step, _)| step).collect()),
            batches,
            batch_size,
        })
    }

    /// `Label: stage`, or `Label: { model: stage, prompt: stage }`.
    fn gradients_models(&mut self, node: &Node, steps: &[(u64, Place)]) -> Vec<GradientsModel> {
        let entries = match &node.value {
            Value::Map(entries) if !entries.is_empty() => entries,
            _ => {
                let message = format!(
                    "`models`: expected names with stages, found {}",
                    node.describe()
                );
                let hint = "for example `models: {Fine-tuned: finetuned}`".to_owned();
                self.diagnostics.push(node.place, message, Some(hint));
                return Vec::new();
            }
        };
        let mut models = Vec::new();
        for (label, _, body) in entries {
            let (model, prompt) = if body.as_text().is_some() {
                (Some(body), None)
            } else {
                let mut fields = Fields::of(body, format!("model `{label}`"), self.diagnostics);
                let model = fields.require("model", self.diagnostics);
                let prompt = self.stage_name(&mut fields, "prompt", Wanted::Adapter);
                fields.finish(self.diagnostics);
                (model, prompt)
            };
            if let Some(model) = model.and_then(|node| self.checkpoints(node, steps)) {
                models.push(GradientsModel {
                    label: label.clone(),
                    model,
                    prompt,
                });
            }
        }
        models
    }

    /// A stage, of which these checkpoints are wanted; all of them if none are named.
    fn checkpoints(&mut self, node: &Node, steps: &[(u64, Place)]) -> Option<String> {
        let name = node.as_text();
        match name {
            Some(name) => self.references.push(Reference {
                name: name.to_owned(),
                place: node.place,
                wanted: Wanted::Checkpoints,
                steps: steps.to_vec(),
            }),
            None => {
                let expected = Wanted::Checkpoints.describe();
                let message = format!("`model`: expected {expected}, found {}", node.describe());
                self.diagnostics.push(node.place, message, None);
            }
        }
        name.map(str::to_owned)
    }

    /// Numbers of steps with their places, ascending.
    fn step_numbers(&mut self, node: &Node) -> Vec<(u64, Place)> {
        let mut steps = Vec::new();
        for node in node.one_or_more() {
            match node.as_count() {
                Some(number) => steps.push((number, node.place)),
                None => {
                    let message = format!(
                        "`steps`: expected whole numbers of steps, found {}",
                        node.describe()
                    );
                    self.diagnostics.push(node.place, message, None);
                }
            }
        }
        steps.sort();
        steps.dedup_by_key(|(step, _)| *step);
        steps
    }
}
