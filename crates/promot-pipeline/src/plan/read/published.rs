//! `published` of `eval` stages: scores from elsewhere.

use super::Reader;
use crate::diagnostic::Place;
use crate::plan::params::{EvalParams, Published, PublishedScore};
use crate::spec::{Fields, Node, Value};

impl Reader<'_> {
    /// `{ source: TEXT, scores: { TASK: { LABEL: SCORE, LABEL: [SCORE, ...] } } }`, where a list has a
    /// score for each of the stage's numbers of worked examples.
    pub(super) fn published(&mut self, node: &Node, eval: &EvalParams) -> Option<Published> {
        let mut fields = Fields::of(node, "published", self.diagnostics);
        let source = fields.require_text("source", self.diagnostics);
        let scores = fields.require("scores", self.diagnostics);
        fields.finish(self.diagnostics);
        let scores = scores.map(|node| self.published_scores(node, eval));
        Some(Published {
            source: source?.0.to_owned(),
            scores: scores?,
        })
    }

    fn published_scores(&mut self, node: &Node, eval: &EvalParams) -> Vec<PublishedScore> {
        let mut scores = Vec::new();
        let targets = eval.targets.iter().map(String::as_str);
        let names: Vec<&str> = targets
            .chain(eval.tasks.iter().map(|task| task.task.as_str()))
            .collect();
        let labels: Vec<&str> = eval.models.iter().map(|model| &*model.label).collect();
        for (task, place, node) in self.entries(node, "scores", "tasks with models") {
            let Some(position) = names.iter().position(|name| *name == task) else {
                let what = "target or evaluated task";
                self.diagnostics.unknown(*place, what, task, &names);
                continue;
            };
            let is_target = position < eval.targets.len();
            let shots = if is_target { &[0][..] } else { &eval.shots };
            for (label, place, node) in self.entries(node, task, "models with scores") {
                if !labels.contains(&label.as_str()) {
                    let what = "label of a model";
                    self.diagnostics.unknown(*place, what, label, &labels);
                    continue;
                }
                for (&shots, score) in shots.iter().zip(self.scores_by_shots(node, shots)) {
                    scores.push(PublishedScore {
                        model: label.clone(),
                        task: task.clone(),
                        is_target,
                        shots,
                        score,
                    });
                }
            }
        }
        scores
    }

    /// A score for each number of worked examples; what else is there is told.
    fn scores_by_shots(&mut self, node: &Node, shots: &[usize]) -> Vec<f64> {
        let score = |node: &Node| {
            node.as_number()
                .filter(|score| (0.0..=100.0).contains(score))
        };
        let scores: Option<Vec<f64>> = node.one_or_more().iter().map(score).collect();
        match scores {
            Some(scores) if scores.len() == shots.len() => scores,
            _ => {
                let message = match shots.len() {
                    1 => "`published`: expected a score from 0 to 100".to_owned(),
                    count => format!(
                        "`published`: expected a list of {count} scores from 0 to 100, one for each of `shots`"
                    ),
                };
                let message = format!("{message}, found {}", node.describe());
                self.diagnostics.push(node.place, message, None);
                Vec::new()
            }
        }
    }

    /// What is in a mapping; anything else is told.
    fn entries<'n>(
        &mut self,
        node: &'n Node,
        key: &str,
        expected: &str,
    ) -> &'n [(String, Place, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                let message = format!("`{key}`: expected {expected}, found {}", node.describe());
                self.diagnostics.push(node.place, message, None);
                &[]
            }
        }
    }
}
