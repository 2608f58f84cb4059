//! The only way to a [`Plan`]: resolves, checks and orders, and reports all problems at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use promot_core::{Digest, Digester, Seed};

use super::checkpoints::check_kept;
use super::curve::expand_curves;
use super::device::device;
use super::hub_model::hub_model;
use super::key;
use super::params::{BaseModel, EvalParams, MixParams, StageKind};
use super::read::{CurveText, Reader, Reference, Wanted, read_tasks};
use super::recipe;
use super::tasks::TaskSet;
use super::widths::check_widths;
use super::{Plan, Stage};
use promot_model::arch::ModelConfig;
use promot_model::gemm::Precision;

use crate::builtin;
use crate::diagnostic::{Diagnostics, Place};
use crate::spec::{Fields, Node, Spec, Value};

/// Checks a parsed file and makes a plan of it. Opens no device (`device: auto` asks the driver which
/// there are) and reads no weights, apart from
/// the digests of files it names; relative paths start from the file that they stand in. Of a model of
/// the Hugging Face Hub it fetches the list of files and the configuration ([`crate::hub`]).
///
/// A file with a `matrix` is several plans, one for each of [`Spec::points`].
///
/// # Errors
/// All problems of the file at once.
pub fn compile(spec: &Spec) -> Result<Plan, Diagnostics> {
    let root = &spec.root;
    let mut diagnostics = Diagnostics::new();
    let mut fields = Fields::of(root, "a pipeline", &mut diagnostics);
    if let Some(matrix) = fields.take("matrix") {
        let hint = "ask the specification for its points, and compile each of them".to_owned();
        let message = "`matrix`: this file is several pipelines";
        diagnostics.push(matrix.place, message, Some(hint));
    }
    let version = fields.require("version", &mut diagnostics);
    if let Some(node) = version
        && !matches!(&node.value, Value::Scalar(scalar) if scalar.as_u64() == Some(1))
    {
        diagnostics.push(
            node.place,
            format!("`version`: expected 1, found {}", node.describe()),
            None,
        );
    }
    let name = fields.require("name", &mut diagnostics);
    let name = name.and_then(|node| check_name(node.as_text(), node, &mut diagnostics));
    let seed = Seed::new(fields.count("seed", 0..=u64::MAX, 0, &mut diagnostics));
    let precision = precision(&mut fields, &mut diagnostics);
    let device = device(&mut fields, &mut diagnostics);
    let base = fields
        .take("model")
        .and_then(|node| base_model(node, spec.directory(node.place), &mut diagnostics));
    let tasks = match fields.take("tasks") {
        Some(node) => read_tasks(node, &mut diagnostics),
        None => TaskSet::default(),
    };
    let has_model_key = root_has(root, "model");
    let stages = fields.require("stages", &mut diagnostics);
    fields.finish(&mut diagnostics);

    let mut parsed: Vec<Parsed> = Vec::new();
    let mut parents = BTreeMap::new();
    if let Some(stages) = stages {
        match &stages.value {
            Value::Map(entries) if !entries.is_empty() => {
                let (entries, of_recipes) = recipe::expand(entries, &mut diagnostics);
                parents = of_recipes;
                for (name, place, node) in &entries {
                    check_stage_name(name, *place, &mut diagnostics);
                    let mut reader = Reader {
                        diagnostics: &mut diagnostics,
                        references: Vec::new(),
                        tasks: &tasks,
                        directory: spec.directory(*place),
                        uses_base: None,
                        curve: CurveText::default(),
                    };
                    let kind = reader.stage(name, *place, node);
                    let (references, curve) = (reader.references, reader.curve);
                    let uses_base = reader.uses_base;
                    if let Some(place) = uses_base.filter(|_| !has_model_key) {
                        let hint = Some(
                            "add `model: builtin:mini-t5`, a directory, or hf:owner/name, at the top".to_owned(),
                        );
                        let message = format!(
                            "stage `{name}` starts from the base model, but no `model` is given"
                        );
                        diagnostics.push(place, message, hint);
                    }
                    parsed.push(Parsed {
                        name: name.clone(),
                        place: *place,
                        kind,
                        references,
                        curve,
                    });
                }
            }
            _ => {
                let message = format!(
                    "`stages`: expected at least one stage, found {}",
                    stages.describe()
                );
                diagnostics.push(stages.place, message, None);
            }
        }
    }
    check_references(&parsed, &mut diagnostics);
    leave_out_unused(&mut parsed, &parents, &spec.optional);
    check_uses(&mut parsed, &mut diagnostics);
    check_widths(&parsed, base.as_ref(), &mut diagnostics);
    expand_curves(&mut parsed, &mut diagnostics);
    let graph = link(&parsed);
    check_cycles(&graph, &parsed, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }

    let order = toposort(&graph, None).expect("cycles were ruled out");
    let common = key::Common {
        seed,
        precision,
        device: device.device,
        base: base.as_ref(),
        tasks: &tasks,
    };
    let mut keys: BTreeMap<NodeIndex, Digest> = BTreeMap::new();
    let mut facts = BTreeMap::new();
    for &index in &order {
        let stage = &parsed[index.index()];
        let mut inputs: Vec<NodeIndex> = graph
            .neighbors_directed(index, petgraph::Direction::Incoming)
            .collect();
        inputs.sort();
        let inputs: Vec<key::Input<'_>> = inputs
            .iter()
            .map(|input| key::Input {
                name: &parsed[input.index()].name,
                kind: parsed[input.index()]
                    .kind
                    .as_ref()
                    .expect("no problems were found"),
                key: keys[input],
            })
            .collect();
        let kind = stage.kind.as_ref().expect("no problems were found");
        let of_stage = key::facts(&stage.name, kind, &inputs, &common);
        keys.insert(index, key::key(&of_stage));
        facts.insert(index, of_stage);
    }
    let graph = graph.map(
        |index, &i| Stage {
            name: parsed[i].name.clone(),
            kind: parsed[i].kind.clone().expect("no problems were found"),
            key: keys[&index],
            facts: facts[&index].clone(),
        },
        |_, ()| (),
    );
    Ok(Plan {
        name: name.expect("no problems were found"),
        seed,
        precision,
        device,
        base,
        tasks,
        graph,
        order,
    })
}

/// A stage as it was read; without a kind if that had problems.
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Option<StageKind>,
    pub(super) references: Vec<Reference>,
    /// What a curve says, with places.
    pub(super) curve: CurveText,
}

/// Removes the stages of included files that nothing needs.
fn leave_out_unused(
    parsed: &mut Vec<Parsed>,
    parents: &BTreeMap<String, String>,
    optional: &BTreeSet<String>,
) {
    let is_optional =
        |name: &str| optional.contains(parents.get(name).map_or(name, String::as_str));
    let names = parsed.iter().map(|stage| stage.name.clone());
    let mut needed: Vec<String> = names.filter(|name| !is_optional(name)).collect();
    let mut next = 0;
    while next < needed.len() {
        let stage = parsed.iter().find(|stage| stage.name == needed[next]);
        for reference in stage.into_iter().flat_map(|stage| &stage.references) {
            if !needed.contains(&reference.name) {
                needed.push(reference.name.clone());
            }
        }
        next += 1;
    }
    parsed.retain(|stage| needed.contains(&stage.name));
}

fn root_has(root: &Node, key: &str) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|(name, ..)| name == key))
}

fn precision(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Precision {
    let choices = [Precision::F32, Precision::Bf16].map(|precision| (precision.name(), precision));
    fields.choice("precision", &choices, Precision::default(), diagnostics)
}

pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn check_name(text: Option<&str>, node: &Node, diagnostics: &mut Diagnostics) -> Option<String> {
    let plain = text.filter(|text| is_plain(text));
    if plain.is_none() {
        let message = format!(
            "`name`: expected letters, digits, `_` and `-`, found {}",
            node.describe()
        );
        diagnostics.push(node.place, message, None);
    }
    plain.map(str::to_owned)
}

fn check_stage_name(name: &str, place: Place, diagnostics: &mut Diagnostics) {
    if name == "base" {
        diagnostics.push(
            place,
            "`base` is the name of the pretrained model, not of a stage",
            None,
        );
    } else if !is_plain(name) {
        let message = format!("stage name `{name}`: expected letters, digits, `_` and `-`");
        diagnostics.push(place, message, None);
    }
}

fn base_model(node: &Node, directory: &Path, diagnostics: &mut Diagnostics) -> Option<BaseModel> {
    let Some(text) = node.as_text() else {
        let message = format!(
            "`model`: expected a name or directory, found {}",
            node.describe()
        );
        diagnostics.push(node.place, message, None);
        return None;
    };
    if let Some(name) = text.strip_prefix("builtin:") {
        let Some(model) = builtin::find(name) else {
            diagnostics.unknown(node.place, "built-in model", name, &builtin::names());
            return None;
        };
        let config = ModelConfig::from_json(model.config).expect("a model of our own");
        return Some(BaseModel::Builtin {
            name: name.to_owned(),
            d_model: config.d_model(),
            digest: model.digest(),
        });
    }
    if let Some(name) = text.strip_prefix("hf:") {
        return hub_model(name, node.place, diagnostics);
    }
    let path = directory.join(text);
    let mut digester = Digester::new();
    let mut d_model = None;
    for file in ["config.json", "tokenizer.json"] {
        match std::fs::read(path.join(file)) {
            Ok(bytes) => {
                if file == "config.json" {
                    match ModelConfig::from_json(&bytes) {
                        Ok(config) => d_model = Some(config.d_model()),
                        Err(error) => {
                            let message = format!("`model`: {}: {error}", path.display());
                            diagnostics.push(node.place, message, None);
                        }
                    }
                }
                digester = digester.field(file, bytes);
            }
            Err(error) => {
                let message = format!("`model`: {}: {error}", path.join(file).display());
                let hint = "expected a directory with config.json, model.safetensors and tokenizer.json, hf:owner/name, or builtin:mini-t5";
                diagnostics.push(node.place, message, Some(hint.to_owned()));
                return None;
            }
        }
    }
    let mut weights: Vec<_> = std::fs::read_dir(&path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    weights.sort();
    if weights.is_empty() {
        let message = format!("`model`: {} holds no .safetensors file", path.display());
        diagnostics.push(
            node.place,
            message,
            Some("pickled weights are not read: convert them first".to_owned()),
        );
        return None;
    }
    for file in &weights {
        match std::fs::read(file) {
            Ok(bytes) => digester = digester.field("weights", bytes),
            Err(error) => {
                diagnostics.push(
                    node.place,
                    format!("`model`: {}: {error}", file.display()),
                    None,
                );
                return None;
            }
        }
    }
    Some(BaseModel::Directory {
        path,
        d_model: d_model?,
        digest: digester.finish(),
    })
}

fn check_references(parsed: &[Parsed], diagnostics: &mut Diagnostics) {
    let names: Vec<&str> = parsed.iter().map(|stage| stage.name.as_str()).collect();
    for stage in parsed {
        for reference in &stage.references {
            let Some(found) = parsed.iter().find(|other| other.name == reference.name) else {
                diagnostics.unknown(reference.place, "stage", &reference.name, &names);
                continue;
            };
            if let Some(kind) = found
                .kind
                .as_ref()
                .filter(|kind| !reference.wanted.accepts(kind))
            {
                let message = format!(
                    "`{}` is a {} stage, expected {}",
                    reference.name,
                    kind.name(),
                    reference.wanted.describe()
                );
                diagnostics.push(reference.place, message, None);
                continue;
            }
            if let (Wanted::Checkpoints, Some(kind)) = (reference.wanted, &found.kind) {
                check_kept(reference, kind, diagnostics);
            }
        }
    }
}

/// What single references cannot tell: prompts in a mix, targets of an evaluation.
fn check_uses(parsed: &mut [Parsed], diagnostics: &mut Diagnostics) {
    let mixes: Vec<String> = parsed
        .iter()
        .filter(|stage| matches!(stage.kind, Some(StageKind::Mix(MixParams { .. }))))
        .map(|stage| stage.name.clone())
        .collect();
    for stage in parsed {
        match &mut stage.kind {
            Some(StageKind::ModelTune(params))
                if params.prompt.is_some() && mixes.contains(&params.on) =>
            {
                let hint = Some("give each task of the mix its own `prompt`".to_owned());
                let message = format!(
                    "stage `{}`: a mix has the prompts, not the tuning stage",
                    stage.name
                );
                diagnostics.push(stage.place, message, hint);
            }
            Some(kind) => {
                let Some(EvalParams {
                    models, targets, ..
                }) = kind.evaluation_mut()
                else {
                    continue;
                };
                for model in models {
                    // One prompt without a target's name is meant for the only target.
                    for (target, _) in model
                        .prompts
                        .iter_mut()
                        .filter(|(target, _)| target.is_empty())
                    {
                        match targets.as_slice() {
                            [only] => target.clone_from(only),
                            _ => {
                                let hint = Some(
                                    "for example `prompt: {rte: prompt_rte, enfr: prompt_enfr}`"
                                        .to_owned(),
                                );
                                let message = format!(
                                    "model `{}`: with {} targets, say which prompt is for which",
                                    model.label,
                                    targets.len()
                                );
                                diagnostics.push(stage.place, message, hint);
                            }
                        }
                    }
                }
            }
            None => {}
        }
    }
}

/// Edges from every stage to those that read it.
fn link(parsed: &[Parsed]) -> DiGraph<usize, ()> {
    let mut graph = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..parsed.len()).map(|i| graph.add_node(i)).collect();
    for (i, stage) in parsed.iter().enumerate() {
        for reference in &stage.references {
            if let Some(input) = parsed.iter().position(|other| other.name == reference.name) {
                graph.update_edge(nodes[input], nodes[i], ());
            }
        }
    }
    graph
}

fn check_cycles(graph: &DiGraph<usize, ()>, parsed: &[Parsed], diagnostics: &mut Diagnostics) {
    for mut component in tarjan_scc(graph) {
        component.sort();
        let is_cycle = component.len() > 1 || graph.contains_edge(component[0], component[0]);
        if is_cycle {
            let names: Vec<&str> = component
                .iter()
                .map(|i| parsed[i.index()].name.as_str())
                .collect();
            let first = &parsed[component[0].index()];
            let message = format!("stages need each other in a circle: {}", names.join(", "));
            diagnostics.push(first.place, message, None);
        }
    }
}
