//! `promot:` and its variants: one stage in the file, the stages of a method in the plan.
//!
//! ```yaml
//! tuned: { promot: { on: rte, prompt: { length: 50 }, model: { steps: 300 } } }
//! ```
//!
//! stands for
//!
//! ```yaml
//! tuned_prompt: { prompt_tune: { on: rte, length: 50 } }
//! tuned: { model_tune: { on: rte, prompt: tuned_prompt, steps: 300 } }
//! ```
//!
//! and where models are measured, `tuned` means the model with its prompt.

mod nodes;
mod targets;

use std::collections::BTreeMap;

use self::nodes::{Entry, body_of, is_settings, map, own_entries, placed, text};
use self::targets::{Target, targets};
use crate::diagnostic::{Diagnostics, Place};
use crate::spec::{Fields, Node, Value};

/// The kind of stage that is a recipe.
pub(super) const KIND: &str = "promot";

/// Kinds of stages in which `models` are named.
const MEASURING: [&str; 3] = ["eval", "curve", "gradients"];

/// Training keys that both stages of a method may share.
const SHARED: [&str; 9] = [
    "shots",
    "batch_size",
    "micro_batches",
    "recompute",
    "optimizer",
    "label_smoothing",
    "dropout",
    "max_input_tokens",
    "keep_checkpoints",
];

/// What is done with the model and with what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// A prompt, then the model with that prompt (section 4).
    Promot,
    /// The model alone.
    FineTuning,
    /// A prompt alone.
    PromptTuning,
    /// Both at once (section 5.5).
    Joint,
    /// The model with a prompt that nobody tuned (section 5.5).
    RandomPrompt,
    /// LoRA, then the model with that (section A.3.6).
    LoraFirst,
}

const METHODS: [(&str, Method); 6] = [
    ("promot", Method::Promot),
    ("fine_tuning", Method::FineTuning),
    ("prompt_tuning", Method::PromptTuning),
    ("joint", Method::Joint),
    ("random_prompt", Method::RandomPrompt),
    ("lora_first", Method::LoraFirst),
];

impl Method {
    /// As it is written.
    fn name(self) -> &'static str {
        let named = METHODS.iter().find(|(_, method)| *method == self);
        named.expect("one of them").0
    }
}

/// What a recipe's name means where models are measured.
struct Answering {
    model: Node,
    /// A prompt, or one for each task.
    prompt: Option<Node>,
}

/// The stages of a file with those of its recipes in the place of these, and for each stage that a
/// recipe added the recipe's name.
pub(super) fn expand(
    stages: &[Entry],
    diagnostics: &mut Diagnostics,
) -> (Vec<Entry>, BTreeMap<String, String>) {
    let mut expanded = Vec::new();
    let mut parents = BTreeMap::new();
    let mut recipes: Vec<(&str, Answering)> = Vec::new();
    for entry in stages {
        let (name, place, node) = entry;
        let Some(body) = body_of(node, &[KIND]) else {
            expanded.push(entry.clone());
            continue;
        };
        let mut recipe = Recipe {
            name,
            place: *place,
            stages: Vec::new(),
        };
        let answering = recipe.read(body, diagnostics);
        for (stage, place, _) in &recipe.stages {
            if stage != name && stages.iter().any(|(other, ..)| other == stage) {
                let message = format!("`{name}` makes a stage `{stage}`, but there is one already");
                diagnostics.push(
                    *place,
                    message,
                    Some("give one of them another name".to_owned()),
                );
            }
            parents.insert(stage.clone(), name.clone());
        }
        expanded.extend(recipe.stages);
        recipes.extend(answering.map(|answering| (name.as_str(), answering)));
    }
    for (.., node) in &mut expanded {
        name_prompts(node, &recipes);
    }
    (expanded, parents)
}

/// Puts model and prompt in the place of recipes' names in what a stage measures.
fn name_prompts(stage: &mut Node, recipes: &[(&str, Answering)]) {
    if body_of(stage, &MEASURING).is_none() {
        return;
    }
    let Value::Map(kinds) = &mut stage.value else {
        return;
    };
    let Value::Map(fields) = &mut kinds[0].2.value else {
        return;
    };
    let models = fields.iter_mut().find(|(key, ..)| key == "models");
    let Some((
        ..,
        Node {
            value: Value::Map(models),
            ..
        },
    )) = models
    else {
        return;
    };
    for (.., model) in models {
        let found = model
            .as_text()
            .and_then(|text| recipes.iter().find(|(name, _)| *name == text));
        let Some((_, answering)) = found else {
            continue;
        };
        let at = |node: &Node| placed(node, model.place);
        let mut entries = vec![("model".to_owned(), model.place, at(&answering.model))];
        if let Some(prompt) = &answering.prompt {
            entries.push(("prompt".to_owned(), model.place, at(prompt)));
        }
        *model = map(model.place, entries);
    }
}

/// One recipe, and the stages that it stands for so far.
struct Recipe<'n> {
    name: &'n str,
    place: Place,
    stages: Vec<Entry>,
}

impl Recipe<'_> {
    /// Reads a recipe's parameters and adds its stages; those of each stage are checked where that is
    /// read.
    fn read(&mut self, body: &Node, diagnostics: &mut Diagnostics) -> Option<Answering> {
        let mut fields = Fields::of(body, KIND, diagnostics);
        let on = fields.require("on", diagnostics);
        let method = fields.choice("method", &METHODS, Method::Promot, diagnostics);
        let from = fields.take("from");
        let shared: Vec<Entry> = SHARED
            .iter()
            .filter_map(|key| {
                let node = fields.take(key)?;
                Some(((*key).to_owned(), node.place, node.clone()))
            })
            .collect();
        let prompt = fields.take("prompt");
        let lora = fields.take("lora");
        let model = fields.take("model");
        fields.finish(diagnostics);
        let used = |key: &str| match key {
            "prompt" => !matches!(method, Method::FineTuning | Method::LoraFirst),
            "lora" => method == Method::LoraFirst,
            _ => method != Method::PromptTuning,
        };
        for (key, node) in [("prompt", prompt), ("lora", lora), ("model", model)] {
            if let Some(node) = node.filter(|_| !used(key)) {
                let message = format!("`{key}`: there is none with `method: {}`", method.name());
                diagnostics.push(node.place, message, None);
            }
        }
        // Of a stage that exists only the prompt can be taken, and only to stay as it is.
        let takes_stage = matches!(method, Method::Promot | Method::RandomPrompt);
        for (key, node) in [("prompt", prompt), ("lora", lora), ("model", model)] {
            let Some(node) = node.filter(|node| used(key) && !is_settings(node)) else {
                continue;
            };
            if key == "prompt" && takes_stage && node.as_text().is_some() {
                continue;
            }
            let message = format!(
                "`{key}`: expected a mapping of settings with `method: {}`, found {}",
                method.name(),
                node.describe()
            );
            diagnostics.push(node.place, message, None);
        }
        let targets = targets(on?, diagnostics);
        let settings = Settings {
            from,
            shared: &shared,
        };
        let one_task_only =
            matches!(method, Method::Joint | Method::LoraFirst) && targets.len() > 1;
        if one_task_only {
            let message = "`on`: with this method one data stage, since its changes are the same for all rows";
            diagnostics.push(on?.place, message, None);
            return None;
        }
        let [first, rest @ ..] = targets.as_slice() else {
            return None;
        };
        let own = text(self.place, self.name);
        let base = from.cloned().unwrap_or_else(|| text(self.place, "base"));
        match method {
            Method::FineTuning => {
                let on = self.mix(&targets, &[]);
                self.tune(self.name, "model_tune", on, None, model, &settings);
                Some(Answering {
                    model: own,
                    prompt: None,
                })
            }
            Method::Joint => {
                let on = text(first.place, first.name);
                let mut entries = settings.entries(on, model);
                // The prompt's shape; how it is tuned is how the model is.
                for (key, place, node) in own_entries(prompt) {
                    entries.push((key, place, node));
                }
                self.add(self.name.to_owned(), "joint_tune", entries);
                Some(Answering {
                    model: own.clone(),
                    prompt: Some(own),
                })
            }
            Method::LoraFirst => {
                let on = || text(first.place, first.name);
                let adapter = format!("{}_lora", self.name);
                self.tune(&adapter, "lora_tune", on(), None, lora, &settings);
                self.tune(
                    self.name,
                    "model_tune",
                    on(),
                    Some(&adapter),
                    model,
                    &settings,
                );
                Some(Answering {
                    model: own,
                    prompt: Some(text(self.place, &adapter)),
                })
            }
            Method::PromptTuning => {
                let names = self.prompts(self.name, &targets, prompt, &settings);
                let prompt = self.prompt_of(&targets, &names);
                Some(Answering {
                    model: base,
                    prompt: Some(prompt),
                })
            }
            Method::Promot | Method::RandomPrompt => {
                let stem = format!("{}_prompt", self.name);
                let names = match (prompt.and_then(Node::as_text), method) {
                    // Another stage's.
                    (Some(name), _) => vec![name.to_owned(); targets.len()],
                    (None, Method::RandomPrompt) => {
                        let mut entries = own_entries(prompt);
                        entries.extend(settings.start());
                        self.add(stem.clone(), "random_prompt", entries);
                        vec![stem; targets.len()]
                    }
                    (None, _) => self.prompts(&stem, &targets, prompt, &settings),
                };
                let on = self.mix(&targets, &names);
                let attached = rest.is_empty().then(|| names[0].as_str());
                self.tune(self.name, "model_tune", on, attached, model, &settings);
                let prompt = self.prompt_of(&targets, &names);
                Some(Answering {
                    model: own,
                    prompt: Some(prompt),
                })
            }
        }
    }

    fn add(&mut self, name: String, kind: &str, entries: Vec<Entry>) {
        let body = map(self.place, entries);
        let node = map(self.place, vec![(kind.to_owned(), self.place, body)]);
        self.stages.push((name, self.place, node));
    }

    /// A training stage.
    fn tune(
        &mut self,
        name: &str,
        kind: &str,
        on: Node,
        prompt: Option<&str>,
        own: Option<&Node>,
        settings: &Settings<'_>,
    ) {
        let mut entries = settings.entries(on, own);
        if let Some(prompt) = prompt {
            entries.push(("prompt".to_owned(), self.place, text(self.place, prompt)));
        }
        self.add(name.to_owned(), kind, entries);
    }

    /// A prompt for each task; their names.
    fn prompts(
        &mut self,
        stem: &str,
        targets: &[Target<'_>],
        own: Option<&Node>,
        settings: &Settings<'_>,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for target in targets {
            let name = match targets.len() {
                1 => stem.to_owned(),
                _ => format!("{stem}_{}", target.name),
            };
            let on = text(target.place, target.name);
            self.tune(&name, "prompt_tune", on, None, own, settings);
            names.push(name);
        }
        names
    }

    /// What the model is tuned on: the task, or a mix of them with their prompts.
    fn mix(&mut self, targets: &[Target<'_>], prompts: &[String]) -> Node {
        if let [only] = targets {
            return text(only.place, only.name);
        }
        let parts = targets.iter().enumerate().map(|(i, target)| {
            let mut part = Vec::new();
            if let Some(prompt) = prompts.get(i) {
                part.push((
                    "prompt".to_owned(),
                    target.place,
                    text(target.place, prompt),
                ));
            }
            if let Some(weight) = target.weight {
                part.push(("weight".to_owned(), weight.place, weight.clone()));
            }
            (
                target.name.to_owned(),
                target.place,
                map(target.place, part),
            )
        });
        let parts = map(self.place, parts.collect());
        let name = format!("{}_mix", self.name);
        self.add(
            name.clone(),
            "mix",
            vec![("of".to_owned(), self.place, parts)],
        );
        text(self.place, &name)
    }

    /// A prompt, or one for each task.
    fn prompt_of(&self, targets: &[Target<'_>], names: &[String]) -> Node {
        if let [only] = names {
            return text(self.place, only);
        }
        let by_target = targets
            .iter()
            .zip(names)
            .map(|(target, name)| (target.name.to_owned(), target.place, text(self.place, name)));
        map(self.place, by_target.collect())
    }
}

/// What all training stages of a recipe are told.
struct Settings<'n> {
    from: Option<&'n Node>,
    shared: &'n [Entry],
}

impl Settings<'_> {
    fn start(&self) -> Option<Entry> {
        let from = self.from?;
        Some(("from".to_owned(), from.place, from.clone()))
    }

    /// A stage's parameters: its own, then those that are shared.
    fn entries(&self, on: Node, own: Option<&Node>) -> Vec<Entry> {
        let mut entries = own_entries(own);
        let shared = self.shared.iter();
        let more: Vec<Entry> = shared
            .filter(|(key, ..)| !entries.iter().any(|(other, ..)| other == key))
            .cloned()
            .collect();
        entries.extend(more);
        entries.extend(self.start());
        entries.push(("on".to_owned(), on.place, on));
        entries
    }
}
