//! Nodes of a file's tree that stand at the place of another one.

use crate::diagnostic::Place;
use crate::spec::{Node, Scalar, Value};

/// A mapping's entry: its key with its place, and its value.
pub(super) type Entry = (String, Place, Node);

/// The parameters of a stage of one of these kinds.
pub(super) fn body_of<'n>(node: &'n Node, kinds: &[&str]) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => match entries.as_slice() {
            [(kind, _, body)] if kinds.contains(&kind.as_str()) => Some(body),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a node can be a stage's own parameters.
pub(super) fn is_settings(node: &Node) -> bool {
    matches!(node.value, Value::Map(_)) || node.is_null()
}

/// A stage's own parameters.
pub(super) fn own_entries(own: Option<&Node>) -> Vec<Entry> {
    match own.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn text(place: Place, text: &str) -> Node {
    Node {
        place,
        value: Value::Scalar(Scalar::text(text)),
    }
}

pub(super) fn map(place: Place, entries: Vec<Entry>) -> Node {
    Node {
        place,
        value: Value::Map(entries),
    }
}

/// The same at another place.
pub(super) fn placed(node: &Node, place: Place) -> Node {
    let value = match &node.value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, _, node)| (key.clone(), place, placed(node, place)))
                .collect(),
        ),
        other => other.clone(),
    };
    Node { place, value }
}
