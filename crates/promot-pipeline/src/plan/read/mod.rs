//! Reads each stage kind's parameters; names of other stages stay names with their places.

mod eval;
mod train;

use std::path::Path;

use promot_core::Digest;
use promot_data::task::{find_task, tasks};

use super::params::{DataParams, DataSource, MixParams, MixPart, StageKind};
use crate::diagnostic::{Diagnostics, Place};
use crate::spec::{Fields, Node, Value};

/// What a stage may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Data,
    DataOrMix,
    Model,
    Prompt,
}

impl Wanted {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Data => "a data stage",
            Self::DataOrMix => "a data or mix stage",
            Self::Model => "a stage that makes a model (model_tune, pretrain)",
            Self::Prompt => "a prompt_tune stage",
        }
    }

    pub(super) fn accepts(self, kind: &StageKind) -> bool {
        matches!(
            (self, kind),
            (Self::Data | Self::DataOrMix, StageKind::Data(_))
                | (Self::DataOrMix, StageKind::Mix(_))
                | (
                    Self::Model,
                    StageKind::ModelTune(_) | StageKind::Pretrain(_)
                )
                | (Self::Prompt, StageKind::PromptTune(_))
        )
    }
}

/// A name of another stage in the file.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) wanted: Wanted,
}

/// Reads stages and collects problems and references.
pub(super) struct Reader<'d> {
    pub(super) diagnostics: &'d mut Diagnostics,
    pub(super) references: Vec<Reference>,
    /// The folder that relative paths start from: the pipeline file's own.
    pub(super) directory: &'d Path,
    /// Whether the stage being read refers to the base model.
    pub(super) uses_base: Option<Place>,
}

/// The kinds of stages.
pub(super) const KINDS: [&str; 6] = [
    "data",
    "mix",
    "pretrain",
    "prompt_tune",
    "model_tune",
    "eval",
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
            "model_tune" => self.model_tune(body).map(StageKind::ModelTune),
            "eval" => self.eval(body).map(StageKind::Eval),
            other => {
                self.diagnostics
                    .unknown(*kind_place, "stage kind", other, &KINDS);
                None
            }
        }
    }

    fn data(&mut self, node: &Node) -> Option<DataParams> {
        let mut fields = Fields::of(node, "data", self.diagnostics);
        let task = fields
            .require("task", self.diagnostics)
            .and_then(|node| self.task(node));
        let source = match fields.take("source") {
            Some(node) => self.source(node),
            None => Some(DataSource::Mini),
        };
        let train_rows = fields.optional_count("train_rows", 1..=u64::MAX, self.diagnostics);
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
        let name = node.as_text().unwrap_or("");
        if find_task(name).is_none() {
            let names: Vec<&str> = tasks().iter().map(|task| task.name()).collect();
            self.diagnostics.unknown(node.place, "task", name, &names);
            return None;
        }
        Some(name.to_owned())
    }

    /// `mini`, or `{ jsonl: { train: FILE, validation: FILE, test: FILE } }`.
    fn source(&mut self, node: &Node) -> Option<DataSource> {
        match (&node.value, node.as_text()) {
            (_, Some("mini")) => Some(DataSource::Mini),
            (_, Some(other)) => {
                self.diagnostics
                    .unknown(node.place, "source", other, &["mini", "jsonl"]);
                None
            }
            (Value::Map(entries), _) if entries.len() == 1 && entries[0].0 == "jsonl" => {
                let mut fields = Fields::of(&entries[0].2, "jsonl", self.diagnostics);
                let mut file = |key| {
                    let (path, place) = fields.path(key, self.diagnostics)?;
                    let path = self.directory.join(path);
                    match std::fs::read(&path) {
                        Ok(bytes) => Some((path, Digest::of(&bytes))),
                        Err(error) => {
                            let message = format!("`{key}`: {}: {error}", path.display());
                            let hint = "paths are relative to the pipeline file".to_owned();
                            self.diagnostics.push(place, message, Some(hint));
                            None
                        }
                    }
                };
                let (train, validation, test) = (file("train"), file("validation"), file("test"));
                fields.finish(self.diagnostics);
                Some(DataSource::Jsonl {
                    train,
                    validation,
                    test,
                })
            }
            _ => {
                let message = format!(
                    "source: expected `mini` or `jsonl: {{...}}`, found {}",
                    node.describe()
                );
                self.diagnostics.push(node.place, message, None);
                None
            }
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
        let nodes: Vec<&Node> = match &node.value {
            Value::List(list) => list.iter().collect(),
            _ => vec![node],
        };
        let mut names = Vec::new();
        for node in nodes {
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
