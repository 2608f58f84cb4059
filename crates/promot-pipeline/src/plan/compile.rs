//! The only way to a [`Plan`]: resolves, checks and orders, and reports all problems at once.

use std::collections::BTreeMap;

use petgraph::algo::toposort;
use petgraph::graph::NodeIndex;
use promot_core::{Digest, Seed};
use promot_model::gemm::Precision;

use super::base_model::base_model;
use super::curve::expand_curves;
use super::device::device;
use super::key;
use super::parsed::{Parsed, check_cycles, leave_out_unused, link};
use super::read::{CurveText, Reader, read_tasks};
use super::recipe;
use super::references::{check_references, check_uses};
use super::tasks::TaskSet;
use super::widths::check_widths;
use super::{Plan, Stage};
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
    if let Some(include) = fields.take("include") {
        let message = "`include`: belongs into a file, whose includes are read first";
        diagnostics.push(include.place, message, None);
    }
    let version = fields.require("version", &mut diagnostics);
    if let Some(node) = version
        && node.as_count() != Some(1)
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
