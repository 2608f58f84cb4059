//! Content-addressed keys: what determines an artifact, and nothing else.

use std::collections::BTreeMap;

use promot_core::{Digest, Digester, Seed};
use promot_data::task::AnswerFormat;
use promot_model::gemm::Precision;
use serde_json::Value;

use super::device::ComputeDevice;
use super::params::{BaseModel, StageKind};
use super::tasks::TaskSet;

/// Versions of the code that computes each kind of artifact: raised when results change.
fn code_version(kind: &StageKind) -> u32 {
    match kind {
        StageKind::Data(_) | StageKind::Mix(_) | StageKind::RandomPrompt(_) => 1,
        StageKind::JointTune(_) | StageKind::Gradients(_) => 6,
        StageKind::Pretrain(_) => 7,
        StageKind::PromptTune(_) | StageKind::LoraTune(_) | StageKind::ModelTune(_) => 8,
        StageKind::Eval(_) | StageKind::Curve(_) => 7,
    }
}

/// The version of how answers in the format of a target are found whose answers are free text. It is a
/// fact of its own, because evaluations of other targets do not depend on it.
const TEXT_FORMAT_VERSION: u32 = 1;

/// A stage that another one reads.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a StageKind,
    pub(super) key: Digest,
}

/// What all stages of a pipeline share.
pub(super) struct Common<'a> {
    pub(super) seed: Seed,
    pub(super) precision: Precision,
    pub(super) device: ComputeDevice,
    pub(super) base: Option<&'a BaseModel>,
    pub(super) tasks: &'a TaskSet,
}

/// The fact that says on which kind of device models computed, unless it was the CPU.
pub(super) const DEVICE: &str = "device";

/// Everything that determines a stage's artifact, by path: parameters with defaults filled in, the
/// keys of its inputs, the seed, the precision, the kind of device, the code's version, the
/// definitions of tasks that the file defines.
pub(super) fn facts(
    name: &str,
    kind: &StageKind,
    inputs: &[Input<'_>],
    common: &Common<'_>,
) -> BTreeMap<String, String> {
    let &Common {
        seed,
        precision,
        device,
        base,
        tasks,
    } = common;
    let params = match kind {
        StageKind::Data(params) => serde_json::to_value(params),
        StageKind::Mix(params) => serde_json::to_value(params),
        StageKind::Pretrain(params) => serde_json::to_value(params),
        StageKind::PromptTune(params) | StageKind::JointTune(params) => {
            serde_json::to_value(params)
        }
        StageKind::LoraTune(params) => serde_json::to_value(params),
        StageKind::ModelTune(params) => serde_json::to_value(params),
        StageKind::RandomPrompt(params) => serde_json::to_value(params),
        StageKind::Eval(params) => serde_json::to_value(params),
        StageKind::Curve(params) => serde_json::to_value(params),
        StageKind::Gradients(params) => serde_json::to_value(params),
    };
    let mut facts = BTreeMap::new();
    flatten("", &params.expect("plain data serialises"), &mut facts);
    for input in inputs {
        facts.insert(format!("input {}", input.name), input.key.to_string());
    }
    if has_text_format(kind, inputs, tasks) {
        let version = TEXT_FORMAT_VERSION.to_string();
        facts.insert("format of text".to_owned(), version);
    }
    for name in task_names(kind) {
        if let Some(task) = tasks.custom(name) {
            let definition = serde_json::to_value(task.definition());
            let definition = definition.expect("plain data serialises");
            flatten(&format!("task {name}"), &definition, &mut facts);
        }
    }
    facts.insert("stage".to_owned(), name.to_owned());
    facts.insert("kind".to_owned(), kind.name().to_owned());
    facts.insert("code version".to_owned(), code_version(kind).to_string());
    if kind.computes() {
        facts.insert("seed".to_owned(), seed.value().to_string());
        facts.insert("precision".to_owned(), precision.name().to_owned());
        // Without a line for the CPU, so that keys are those from before there was a choice.
        if device != ComputeDevice::default() {
            facts.insert(DEVICE.to_owned(), device.kind().to_owned());
        }
        if let Some(base) = base {
            facts.insert("model".to_owned(), base.digest().to_string());
        }
    }
    facts
}

/// The tasks that a stage names itself; others are in the keys of its inputs.
fn task_names(kind: &StageKind) -> Vec<&str> {
    match (kind, kind.evaluation()) {
        (StageKind::Data(params), _) => vec![&params.task],
        (_, Some(params)) => {
            let tasks = params.tasks.iter();
            tasks.map(|evaluated| evaluated.task.as_str()).collect()
        }
        _ => {
            let tasks = kind
                .train()
                .into_iter()
                .flat_map(|train| train.foreign_tasks());
            tasks.map(|foreign| foreign.task.as_str()).collect()
        }
    }
}

/// Whether a stage measures how much answers look like those of targets whose answers are free text: where
/// all of them are.
fn has_text_format(kind: &StageKind, inputs: &[Input<'_>], tasks: &TaskSet) -> bool {
    let targets = kind.evaluation().map_or(&[][..], |params| &params.targets);
    let is_text = |target: &String| {
        let input = inputs.iter().find(|input| input.name == target);
        let Some(StageKind::Data(data)) = input.map(|input| input.kind) else {
            return false;
        };
        let task = tasks.find(&data.task);
        task.is_some_and(|task| task.answer_format() == AnswerFormat::Text)
    };
    !targets.is_empty() && targets.iter().all(is_text)
}

/// The digest of a stage's facts.
pub(super) fn key(facts: &BTreeMap<String, String>) -> Digest {
    facts
        .iter()
        .fold(Digester::new(), |digester, (path, value)| {
            digester.field(path, value)
        })
        .finish()
}

/// Leaves of a JSON value by path.
fn flatten(path: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| flatten(&below(key), value, facts)),
        Value::Array(list) => {
            facts.insert(below("length"), list.len().to_string());
            for (i, value) in list.iter().enumerate() {
                flatten(&below(&i.to_string()), value, facts);
            }
        }
        Value::String(text) => {
            facts.insert(path.to_owned(), text.clone());
        }
        other => {
            facts.insert(path.to_owned(), other.to_string());
        }
    }
}
