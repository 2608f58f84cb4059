//! Reads each stage kind's parameters; names of other stages stay names with their places.

mod drift;
mod eval;
mod gradients;
mod published;
mod select;
mod source;
mod tasks;
mod train;

use std::path::Path;

use promot_data::mini;

pub(super) use tasks::read_tasks;

use super::params::{DataParams, DataSource, MixParams, MixPart, StageKind};
use super::recipe;
use super::tasks::TaskSet;
use crate::diagnostic::{Diagnostics, Place};
use crate::spec::{Fields, Node, Value};

/// What a stage may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Data,
    DataOrMix,
    Model,
    Prompt,
    /// A prompt or low-rank changes.
    Adapter,
    /// A tuned model with its checkpoints.
    Checkpoints,
}

impl Wanted {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Data => "a data stage",
            Self::DataOrMix => "a data or mix stage",
            Self::Model => "a stage that makes a model (model_tune, joint_tune, pretrain)",
            Self::Prompt => "a stage that makes a prompt (prompt_tune, joint_tune, random_prompt)",
            Self::Adapter => {
                "a stage that makes a prompt (prompt_tune, joint_tune, random_prompt) or lora_tune"
            }
            Self::Checkpoints => "a stage that tunes a model (model_tune)",
        }
    }

    pub(super) fn accepts(self, kind: &StageKind) -> bool {
        matches!(
            (self, kind),
            (Self::Data | Self::DataOrMix, StageKind::Data(_))
                | (Self::DataOrMix, StageKind::Mix(_))
                | (
                    Self::Model,
                    StageKind::ModelTune(_) | StageKind::JointTune(_) | StageKind::Pretrain(_)
                )
                | (
                    Self::Prompt | Self::Adapter,
                    StageKind::PromptTune(_) | StageKind::JointTune(_) | StageKind::RandomPrompt(_)
                )
                | (Self::Adapter, StageKind::LoraTune(_))
                | (Self::Checkpoints, StageKind::ModelTune(_))
        )
    }
}

/// A name of another stage in the file.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) wanted: Wanted,
    /// Which of its checkpoints, if only some.
    pub(super) steps: Vec<(u64, Place)>,
}

/// Reads stages and collects problems and references.
pub(super) struct Reader<'d> {
    pub(super) diagnostics: &'d mut Diagnostics,
    pub(super) references: Vec<Reference>,
    /// The tasks that can be named.
    pub(super) tasks: &'d TaskSet,
    /// The folder that relative paths start from: the pipeline file's own.
    pub(super) directory: &'d Path,
    /// Whether the stage being read refers to the base model.
    pub(super) uses_base: Option<Place>,
    /// What the stage being read says, if it is a curve.
    pub(super) curve: CurveText,
}

/// Where a curve says what.
#[derive(Clone, Debug, Default)]
pub(super) struct CurveText {
    /// The places of its models, in their order.
    pub(super) models: Vec<Place>,
    /// The steps that it picks; all if none.
    pub(super) steps: Option<Vec<(u64, Place)>>,
}

/// The kinds of stages.
pub(super) const KINDS: [&str; 12] = [
    recipe::KIND,
    "data",
    "mix",
    "pretrain",
    "prompt_tune",
    "lora_tune",
    "model_tune",
    "joint_tune",
    "random_prompt",
    "eval",
    "curve",
    "gradients",
];

/// The word for the pretrained model where a stage's model is expected.
const BASE: &str = "base";

impl Reader<'_> {
    /// One stage: a mapping with its kind as the only key.
    pub(super) fn stage(&mut self, name: &str, place: Place, node: &Node) -> Option<StageKind> {
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "stage `{name}`: expected its kind, found {}",
                node.describe()
            );
            self.diagnostics
                .push(place, message, Some(format!("one of {}", KINDS.join(", "))));
            return None;
        };
        let [(kind, kind_place, body)] = entries.as_slice() else {
            let message = format!("stage `{name}`: expected one kind, found {}", entries.len());
            self.diagnostics
                .push(place, message, Some(format!("one of {}", KINDS.join(", "))));
            return None;
        };
        match kind.as_str() {
            "data" => self.data(body).map(StageKind::Data),
            "mix" => self.mix(body).map(StageKind::Mix),
            "pretrain" => Some(StageKind::Pretrain(self.pretrain(body))),
            "prompt_tune" => self.prompt_tune(body).map(StageKind::PromptTune),
            "lora_tune" => self.lora_tune(body).map(StageKind::LoraTune),
            "model_tune" => self.model_tune(body).map(StageKind::ModelTune),
            "joint_tune" => self.joint_tune(body).map(StageKind::JointTune),
            "random_prompt" => Some(StageKind::RandomPrompt(self.random_prompt(body))),
            "eval" => self.eval(body).map(StageKind::Eval),
            "curve" => self.curve(body).map(StageKind::Curve),
            "gradients" => self.gradients(body).map(StageKind::Gradients),
            other => {
                self.diagnostics
                    .unknown(*kind_place, "stage kind", other, &KINDS);
                None
            }
        }
    }

    fn data(&mut self, node: &Node) -> Option<DataParams> {
        let mut fields = Fields::of(node, "data", self.diagnostics);
        let task_node = fields.require("task", self.diagnostics);
        let task = task_node.and_then(|node| self.task(node));
        let handle = task.as_deref().and_then(|name| self.tasks.find(name));
        let source_node = fields.take("source");
        let source = match source_node {
            Some(node) => self.source(node, handle.as_ref()),
            None => Some(DataSource::Mini),
        };
        if let (Some(name), Some(DataSource::Mini)) = (&task, &source) {
            let node = source_node.or(task_node);
            self.check_mini(name, node.map_or(fields.place(), |node| node.place));
        }
        // A tenth of them is held back.
        let train_rows = fields.optional_count("train_rows", 10..=u64::MAX, self.diagnostics);
        let dev_rows = fields.count("dev_rows", 1..=100_000, 200, self.diagnostics);
        fields.finish(self.diagnostics);
        Some(DataParams {
            task: task?,
            source: source?,
            train_rows: train_rows.map(|rows| rows as usize),
            dev_rows: dev_rows as usize,
        })
    }

    fn task(&mut self, node: &Node) -> Option<String> {
        self.task_name(node.as_text().unwrap_or(""), node.place)
    }

    /// The name of a task that can be used.
    fn task_name(&mut self, name: &str, place: Place) -> Option<String> {
        if self.tasks.find(name).is_some() {
            return Some(name.to_owned());
        }
        // What is the matter with a definition is told where it stands.
        if !self.tasks.is_broken(name) {
            let names = self.tasks.names();
            self.diagnostics.unknown(place, "task", name, &names);
        }
        None
    }

    /// Only our own tasks have rows in the mini world.
    fn check_mini(&mut self, task: &str, place: Place) {
        if !mini::has(task) {
            let message = format!("task `{task}` has no rows in the mini world");
            let hint =
                "say where they come from, for example `source: {csv: {train: FILE, test: FILE}}`";
            self.diagnostics.push(place, message, Some(hint.to_owned()));
        }
    }

    fn mix(&mut self, node: &Node) -> Option<MixParams> {
        let mut fields = Fields::of(node, "mix", self.diagnostics);
        let of = fields.require("of", self.diagnostics);
        fields.finish(self.diagnostics);
        let Value::Map(entries) = &of?.value else {
            let message = format!("`of`: expected data stages, found {}", of?.describe());
            self.diagnostics.push(
                of?.place,
                message,
                Some("for example `of: {rte: {}, enfr: {weight: 2}}`".to_owned()),
            );
            return None;
        };
        let mut parts = Vec::new();
        for (name, place, body) in entries {
            self.refer(name, *place, Wanted::Data);
            let mut fields = Fields::of(body, format!("`{name}` in mix"), self.diagnostics);
            let prompt = self.stage_name(&mut fields, "prompt", Wanted::Prompt);
            let weight = fields.number("weight", 1e-6..1e6, 1.0, self.diagnostics);
            fields.finish(self.diagnostics);
            parts.push(MixPart {
                data: name.clone(),
                prompt,
                weight,
            });
        }
        if parts.is_empty() {
            self.diagnostics
                .push(of?.place, "`of`: expected at least one data stage", None);
        }
        Some(MixParams { parts })
    }

    /// A name, or a list of names.
    fn names<'n>(&mut self, node: &'n Node, key: &str) -> Vec<(&'n str, Place)> {
        let mut names = Vec::new();
        for node in node.one_or_more() {
            match node.as_text() {
                Some(name) => names.push((name, node.place)),
                None => {
                    let message = format!("`{key}`: expected a name, found {}", node.describe());
                    self.diagnostics.push(node.place, message, None);
                }
            }
        }
        names
    }

    fn refer(&mut self, name: &str, place: Place, wanted: Wanted) {
        self.references.push(Reference {
            name: name.to_owned(),
            place,
            wanted,
            steps: Vec::new(),
        });
    }

    fn reference(&mut self, node: &Node, key: &str, wanted: Wanted) -> Option<String> {
        let Some(name) = node.as_text() else {
            let message = format!(
                "`{key}`: expected {}, found {}",
                wanted.describe(),
                node.describe()
            );
            self.diagnostics.push(node.place, message, None);
            return None;
        };
        self.refer(name, node.place, wanted);
        Some(name.to_owned())
    }

    fn stage_name(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        wanted: Wanted,
    ) -> Option<String> {
        let node = fields.take(key)?;
        self.reference(node, key, wanted)
    }

    fn required_stage(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        wanted: Wanted,
    ) -> Option<String> {
        let node = fields.require(key, self.diagnostics)?;
        self.reference(node, key, wanted)
    }

    /// A stage that makes a model, or the base model.
    fn model_name(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
        match fields.take(key) {
            Some(node) => match node.as_text() {
                Some(name) => self.model(name, node.place),
                None => self.reference(node, key, Wanted::Model),
            },
            None => {
                self.uses_base = Some(fields.place());
                None
            }
        }
    }

    fn model(&mut self, name: &str, place: Place) -> Option<String> {
        if name == BASE {
            self.uses_base = Some(place);
            return None;
        }
        self.refer(name, place, Wanted::Model);
        Some(name.to_owned())
    }
}

/// A mapping of words: what a text, number or truth value stands for, as they are written.
fn words(
    node: &Node,
    what: &str,
    expected: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(String, String)>> {
    let Value::Map(entries) = &node.value else {
        let message = format!("{what}: expected {expected}, found {}", node.describe());
        diagnostics.push(node.place, message, None);
        return None;
    };
    let mut words = Some(Vec::new());
    for (key, _, node) in entries {
        match (node.written(), &mut words) {
            (Some(word), Some(words)) => words.push((key.clone(), word.to_owned())),
            (Some(_), None) => {}
            (None, _) => {
                let message = format!(
                    "{what}: `{key}`: expected a word, found {}",
                    node.describe()
                );
                diagnostics.push(node.place, message, None);
                words = None;
            }
        }
    }
    words
}
