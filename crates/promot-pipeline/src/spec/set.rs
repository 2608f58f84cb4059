//! `--set stages.finetuned.model_tune.steps=100`: a value from the command line.

use super::node::{self, Node, Value};
use crate::diagnostic::{Diagnostics, Place};

/// No setting lies deeper.
const MAX_DEPTH: usize = 32;

/// Replaces or adds the value that `argument` names.
pub(super) fn apply(root: &mut Node, source: usize, argument: &str, diagnostics: &mut Diagnostics) {
    let place = Place {
        source,
        line: 1,
        column: 1,
    };
    let Some((path, text)) = argument.split_once('=') else {
        let hint = Some("for example --set seed=1".to_owned());
        diagnostics.push(place, "expected PATH=VALUE", hint);
        return;
    };
    // The value is YAML: the parser wants a mapping at the top, so it gets one.
    let value = match node::parse(source, &format!("value: {text}")) {
        Ok(Node {
            value: Value::Map(mut entries),
            ..
        }) if entries.len() == 1 => entries.remove(0).2,
        Ok(_) => {
            diagnostics.push(place, "the value is not one YAML value", None);
            return;
        }
        Err((_, message)) => {
            diagnostics.push(place, message, None);
            return;
        }
    };
    assign(root, path, value, place, diagnostics);
}

/// Puts `value` where `path` leads to; `place` is where somebody asked for it.
pub(super) fn assign(
    root: &mut Node,
    path: &str,
    value: Node,
    place: Place,
    diagnostics: &mut Diagnostics,
) {
    if path.split('.').count() > MAX_DEPTH {
        diagnostics.push(place, "a path of too many parts", None);
        return;
    }
    let mut at = root;
    for (depth, key) in path.split('.').enumerate() {
        let Value::Map(entries) = &mut at.value else {
            let before: Vec<&str> = path.split('.').take(depth).collect();
            let message = format!(
                "`{}` is not a mapping, so it has no `{key}`",
                before.join(".")
            );
            diagnostics.push(place, message, None);
            return;
        };
        let index = entries
            .iter()
            .position(|(name, ..)| name == key)
            .unwrap_or_else(|| {
                // A key that is not there is added; whether it may be is for the plan to say.
                let empty = Node {
                    place,
                    value: Value::Map(Vec::new()),
                };
                entries.push((key.to_owned(), place, empty));
                entries.len() - 1
            });
        at = &mut entries[index].2;
    }
    *at = value;
}
