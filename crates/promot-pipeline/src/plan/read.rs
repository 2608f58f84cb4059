//! Reads each stage kind's parameters; names of other stages stay names with their places.

use std::path::Path;

use promot_core::Digest;
use promot_data::task::{find_task, tasks};
use promot_model::optim::Decay;

use super::params::*;
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

    fn pretrain(&mut self, node: &Node) -> PretrainParams {
        let mut fields = Fields::of(node, "pretrain", self.diagnostics);
        let mut size =
            |key, default| fields.count(key, 1..=65_536, default, self.diagnostics) as usize;
        let size = ModelSize {
            d_model: size("d_model", 128),
            d_kv: size("d_kv", 32),
            d_ff: size("d_ff", 256),
            num_layers: size("num_layers", 3),
            num_decoder_layers: size("num_decoder_layers", 2),
            num_heads: size("num_heads", 4),
        };
        let defaults = TrainParams {
            learning_rate: 0.01,
            ..TrainParams::for_models()
        };
        let curriculum = self.curriculum(&mut fields);
        let train = self.train(&mut fields, defaults);
        fields.finish(self.diagnostics);
        PretrainParams {
            size,
            curriculum,
            train,
        }
    }

    fn curriculum(&mut self, fields: &mut Fields<'_>) -> CurriculumParams {
        let mut phases = CurriculumParams {
            verification: 0,
            zero_shot: 0,
        };
        if let Some(node) = fields.take("curriculum") {
            let mut fields = Fields::of(node, "curriculum", self.diagnostics);
            let mut steps = |key| fields.count(key, 0..=u64::MAX, 0, self.diagnostics);
            phases.verification = steps("verification");
            phases.zero_shot = steps("zero_shot");
            fields.finish(self.diagnostics);
        }
        phases
    }

    fn prompt_tune(&mut self, node: &Node) -> Option<PromptTuneParams> {
        let mut fields = Fields::of(node, "prompt_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::Data);
        let from = self.model_name(&mut fields, "from");
        let length = fields.count("length", 1..=10_000, 100, self.diagnostics) as usize;
        let init = [("vocabulary", true), ("uniform", false)];
        let init_from_vocabulary = fields.choice("init", &init, true, self.diagnostics);
        let train = self.train(&mut fields, TrainParams::for_prompts());
        fields.finish(self.diagnostics);
        Some(PromptTuneParams {
            on: on?,
            from,
            length,
            init_from_vocabulary,
            train,
        })
    }

    fn model_tune(&mut self, node: &Node) -> Option<ModelTuneParams> {
        let mut fields = Fields::of(node, "model_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::DataOrMix);
        let from = self.model_name(&mut fields, "from");
        let prompt = self.stage_name(&mut fields, "prompt", Wanted::Prompt);
        let train = self.train(&mut fields, TrainParams::for_models());
        fields.finish(self.diagnostics);
        Some(ModelTuneParams {
            on: on?,
            from,
            prompt,
            train,
        })
    }

    fn train(&mut self, fields: &mut Fields<'_>, defaults: TrainParams) -> TrainParams {
        let d = &mut *self.diagnostics;
        let optimizers = [
            ("adafactor", OptimizerKind::Adafactor),
            ("adamw", OptimizerKind::Adamw),
        ];
        let decays = [
            ("constant", Decay::Constant),
            ("cosine", Decay::Cosine),
            ("linear", Decay::Linear),
            ("inverse_square_root", Decay::InverseSquareRoot),
        ];
        let steps = fields.count("steps", 1..=u64::MAX, defaults.steps, d);
        TrainParams {
            steps,
            checkpoint_every: fields.count(
                "checkpoint_every",
                1..=u64::MAX,
                defaults.checkpoint_every,
                d,
            ),
            batch_size: fields.count("batch_size", 1..=65_536, defaults.batch_size as u64, d)
                as usize,
            micro_batches: fields.count("micro_batches", 1..=65_536, 1, d) as usize,
            optimizer: fields.choice("optimizer", &optimizers, defaults.optimizer, d),
            scale_by_parameter: fields.flag("scale_by_parameter", defaults.scale_by_parameter, d),
            weight_decay: fields.number("weight_decay", 0.0..1.0, defaults.weight_decay, d),
            learning_rate: fields.number(
                "learning_rate",
                0.0..f64::INFINITY,
                defaults.learning_rate,
                d,
            ),
            warmup: fields.count("warmup", 0..=u64::MAX, 0, d),
            decay: fields.choice("decay", &decays, defaults.decay, d),
            max_gradient_norm: match fields.number("max_gradient_norm", 0.0..f64::INFINITY, 0.0, d)
            {
                0.0 => None,
                norm => Some(norm),
            },
            label_smoothing: fields.number(
                "label_smoothing",
                0.0..1.0,
                defaults.label_smoothing,
                d,
            ),
            dropout: fields.number("dropout", 0.0..1.0, defaults.dropout, d),
            shots: fields.count("shots", 0..=64, 0, d) as usize,
            max_input_tokens: fields
                .optional_count("max_input_tokens", 32..=1_000_000, d)
                .map(|tokens| tokens as usize),
        }
    }

    fn eval(&mut self, node: &Node) -> Option<EvalParams> {
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
        let tasks = fields.take("tasks").map(|node| self.eval_tasks(node));
        let mut tasks = tasks.unwrap_or_default();
        if let Some(node) = fields.take("sources") {
            self.eval_sources(node, &mut tasks);
        }
        let shots = match fields.take("shots") {
            Some(node) => self.shot_counts(node),
            None => vec![1],
        };
        let count = |fields: &mut Fields<'_>, d: &mut Diagnostics, key, range, default| {
            fields.count(key, range, default, d) as usize
        };
        let rows = count(&mut fields, self.diagnostics, "rows", 1..=1_000_000, 200);
        let beams = count(&mut fields, self.diagnostics, "beams", 1..=64, 4);
        let max_new_tokens = count(
            &mut fields,
            self.diagnostics,
            "max_new_tokens",
            1..=4096,
            64,
        );
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
            rows,
            beams,
            max_new_tokens,
        })
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
                        if let Some(name) = self.reference(node, "prompt", Wanted::Prompt) {
                            prompts.push((target.clone(), name));
                        }
                    }
                }
                // One prompt for whatever the target is: an empty name until targets are known.
                Some(node) => {
                    if let Some(name) = self.reference(node, "prompt", Wanted::Prompt) {
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

    /// Names of tasks; their rows are those of the mini world unless `sources` says otherwise.
    fn eval_tasks(&mut self, node: &Node) -> Vec<EvalTask> {
        let mut evaluated = Vec::new();
        for (name, place) in self.names(node, "tasks") {
            if find_task(name).is_some() {
                evaluated.push(EvalTask {
                    task: name.to_owned(),
                    source: DataSource::Mini,
                });
            } else {
                let names: Vec<&str> = tasks().iter().map(|task| task.name()).collect();
                self.diagnostics.unknown(place, "task", name, &names);
            }
        }
        evaluated
    }

    /// `sources: { cb: { jsonl: { train: FILE, validation: FILE } } }`.
    fn eval_sources(&mut self, node: &Node, evaluated: &mut [EvalTask]) {
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "`sources`: expected tasks with sources, found {}",
                node.describe()
            );
            self.diagnostics.push(node.place, message, None);
            return;
        };
        for (name, place, node) in entries {
            let source = self.source(node);
            match (evaluated.iter_mut().find(|task| task.task == *name), source) {
                (Some(task), Some(source)) => task.source = source,
                (Some(_), None) => {}
                (None, _) => {
                    let names: Vec<&str> =
                        evaluated.iter().map(|task| task.task.as_str()).collect();
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

impl TrainParams {
    /// The paper's settings for tuning a model (section A.2.4).
    fn for_models() -> Self {
        Self {
            steps: 1000,
            checkpoint_every: 100,
            batch_size: 64,
            micro_batches: 1,
            optimizer: OptimizerKind::Adafactor,
            scale_by_parameter: true,
            weight_decay: 0.0,
            learning_rate: 0.001,
            warmup: 0,
            decay: Decay::Constant,
            max_gradient_norm: None,
            label_smoothing: 0.1,
            dropout: 0.1,
            shots: 0,
            max_input_tokens: None,
        }
    }

    /// The paper's settings for tuning a prompt.
    fn for_prompts() -> Self {
        Self {
            steps: 5000,
            checkpoint_every: 1000,
            scale_by_parameter: false,
            learning_rate: 0.2,
            ..Self::for_models()
        }
    }
}
