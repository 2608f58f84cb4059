//! The key `tasks`: tasks that a file defines.

use promot_core::MetricKind;
use promot_data::split::Split;
use promot_data::task::{CustomTask, TaskDefinition, Template, find_task};

use super::words;
use crate::diagnostic::{Diagnostics, Place};
use crate::plan::compile::is_plain;
use crate::plan::tasks::TaskSet;
use crate::spec::{Fields, Node, Value};

/// Reads the definitions; those with problems are noted by name.
pub(in crate::plan) fn read_tasks(node: &Node, diagnostics: &mut Diagnostics) -> TaskSet {
    let mut tasks = TaskSet::default();
    let Value::Map(entries) = &node.value else {
        let message = format!(
            "`tasks`: expected names with tasks, found {}",
            node.describe()
        );
        diagnostics.push(node.place, message, None);
        return tasks;
    };
    for (name, place, body) in entries {
        match task(name, *place, body, diagnostics) {
            Some(task) => tasks.add(task),
            None => tasks.add_broken(name),
        }
    }
    tasks
}

fn task(
    name: &str,
    place: Place,
    node: &Node,
    diagnostics: &mut Diagnostics,
) -> Option<CustomTask> {
    let is_named = check_name(name, place, diagnostics);
    let mut fields = Fields::of(node, format!("task `{name}`"), diagnostics);
    let title = fields.text("title", diagnostics);
    let template = template_of(&mut fields, "template", diagnostics);
    let target = template_of(&mut fields, "target", diagnostics);
    let verbalizer = fields.take("verbalizer");
    let verbalizer = verbalizer.map_or(Some(Vec::new()), |node| verbalizer_of(node, diagnostics));
    let references = fields.text("references", diagnostics);
    let metrics = [
        ("accuracy", MetricKind::Accuracy),
        ("exact_match", MetricKind::ExactMatch),
        ("bleu", MetricKind::Bleu),
        ("rouge2", MetricKind::Rouge2),
    ];
    let metric = fields.required_choice("metric", &metrics, diagnostics);
    let splits = Split::ALL.map(|split| (split.name(), split));
    let split = fields.choice("evaluation_split", &splits, Split::Test, diagnostics);
    let tokens = fields.optional_count("max_input_tokens", 32..=1_000_000, diagnostics);
    fields.finish(diagnostics);

    let verbalizer = verbalizer?;
    let definition = TaskDefinition {
        name: name.to_owned(),
        title: title.map_or(name, |(title, _)| title).to_owned(),
        template: template?,
        target: target?,
        verbalizer: verbalizer
            .iter()
            .map(|(field, _, words)| (field.clone(), words.clone()))
            .collect(),
        references: references.map(|(field, _)| field.to_owned()),
        metric: metric?,
        evaluation_split: split,
        max_input_tokens: tokens.map(|tokens| tokens as usize),
    };
    match CustomTask::new(definition) {
        Ok(task) => is_named.then_some(task),
        Err(problems) => {
            for problem in problems {
                let mut of = verbalizer.iter();
                let of = of.find(|(field, ..)| field == problem.field());
                let place = of.map_or(place, |(_, place, _)| *place);
                let hint = problem.hint().map(str::to_owned);
                diagnostics.push(place, format!("`verbalizer`: {problem}"), hint);
            }
            None
        }
    }
}

fn check_name(name: &str, place: Place, diagnostics: &mut Diagnostics) -> bool {
    let message = if find_task(name).is_some() {
        format!("task `{name}` is built in: a task in the file needs a name of its own")
    } else if !is_plain(name) {
        format!("task name `{name}`: expected letters, digits, `_` and `-`")
    } else {
        return true;
    };
    diagnostics.push(place, message, None);
    false
}

fn template_of(
    fields: &mut Fields<'_>,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Template> {
    fields
        .require_text(key, diagnostics)
        .and_then(|(text, place)| {
            let parsed = Template::parse(text);
            let problem = |error: &promot_data::task::TemplateError| {
                let hint = Some(error.hint().to_owned());
                diagnostics.push(place, format!("`{key}`: {error}"), hint);
            };
            parsed.inspect_err(problem).ok()
        })
}

/// Words by field, with the field's place.
type Verbalizer = Vec<(String, Place, Vec<(String, String)>)>;

fn verbalizer_of(node: &Node, diagnostics: &mut Diagnostics) -> Option<Verbalizer> {
    let hint = || Some("for example `verbalizer: {label: {\"1\": good, \"0\": bad}}`".to_owned());
    let Value::Map(entries) = &node.value else {
        let message = format!(
            "`verbalizer`: expected fields with the words for their values, found {}",
            node.describe()
        );
        diagnostics.push(node.place, message, hint());
        return None;
    };
    let mut verbalizer = Vec::new();
    for (field, place, node) in entries {
        let what = format!("`verbalizer`: `{field}`");
        let words = words(node, &what, "values with words", diagnostics)?;
        verbalizer.push((field.clone(), *place, words));
    }
    Some(verbalizer)
}
