//! What a recipe is tuned on.

use crate::diagnostic::{Diagnostics, Place};
use crate::spec::{Node, Value};

/// A task that is tuned on, with its weight if there are several.
pub(super) struct Target<'n> {
    pub(super) name: &'n str,
    pub(super) place: Place,
    pub(super) weight: Option<&'n Node>,
}

/// One data stage, a list of them, or a mapping with their weights.
pub(super) fn targets<'n>(on: &'n Node, diagnostics: &mut Diagnostics) -> Vec<Target<'n>> {
    let named = |node: &'n Node| {
        node.as_text().map(|name| Target {
            name,
            place: node.place,
            weight: None,
        })
    };
    let targets: Vec<Option<Target<'n>>> = match &on.value {
        Value::List(list) => list.iter().map(named).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, place, weight)| {
                Some(Target {
                    name,
                    place: *place,
                    weight: Some(weight),
                })
            })
            .collect(),
        Value::Scalar(_) => vec![named(on)],
    };
    let found: Option<Vec<Target<'n>>> = targets.into_iter().collect();
    found.filter(|found| !found.is_empty()).unwrap_or_else(|| {
        let message = format!(
            "`on`: expected a data stage, a list of them, or a mapping with their weights, found {}",
            on.describe()
        );
        diagnostics.push(on.place, message, None);
        Vec::new()
    })
}
