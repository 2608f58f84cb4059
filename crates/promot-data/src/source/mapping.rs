//! From a file's columns to a task's fields.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::record::{FieldError, missing, nearest, written};

/// How many names a hint lists.
const LISTED: usize = 12;

/// Which column each field is read from, and what its values mean. A field that is not named here
/// is read from the column of its own name, as it stands.
///
/// Dots in a column's name lead into nested columns: `answers.text` is the part `text` of
/// `answers`, of every entry if that is a list, and `answers.text.0` its first entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// By field the column in the file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// By field what each value, as it is written in the file, stands for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, BTreeMap<String, String>>,
}

impl Mapping {
    /// Whether every field is its column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.values.is_empty()
    }

    /// The column that `field` is read from.
    pub fn column<'a>(&'a self, field: &'a str) -> &'a str {
        self.columns.get(field).map_or(field, String::as_str)
    }

    /// The value of `field` in a row with these columns.
    pub(super) fn value(
        &self,
        field: &str,
        columns: &Map<String, Value>,
    ) -> Result<Value, FieldError> {
        let value =
            part(columns, self.column(field)).ok_or_else(|| self.absent(field, &names(columns)))?;
        let Some(meanings) = self.values.get(field) else {
            return Ok(value);
        };
        let meaning = written(&value).and_then(|written| meanings.get(&written));
        meaning.cloned().map(Value::String).ok_or_else(|| {
            let known: Vec<&str> = meanings.keys().map(String::as_str).collect();
            FieldError {
                problem: format!("field {field:?}: `values` does not say what {value} means"),
                hint: Some(format!("it knows {}", known.join(", "))),
            }
        })
    }

    /// That the column of `field` is not among those called `names`.
    pub(super) fn absent(&self, field: &str, names: &[String]) -> FieldError {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let column = self.column(field);
        let mut error = missing(field, &names);
        if column != field {
            error.problem = format!("field {field:?}: there is no column {column:?}");
            error.hint = nearest(column, &names).map(|near| format!("there is a column {near:?}"));
        }
        if error.hint.is_none() && !names.is_empty() {
            let listed = names.iter().take(LISTED).copied().collect::<Vec<_>>();
            let more = if names.len() > LISTED { ", ..." } else { "" };
            error.hint = Some(format!("its columns are {}{more}", listed.join(", ")));
        }
        error
    }
}

/// The part of a row that a dotted name leads to.
fn part(columns: &Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = columns.get(name) {
        return Some(value.clone());
    }
    // A name may have dots itself: every way to split it is tried.
    name.match_indices('.').find_map(|(dot, _)| {
        let value = columns.get(&name[..dot])?;
        part_of_value(value, &name[dot + 1..])
    })
}

fn part_of_value(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(columns) => part(columns, name),
        Value::Array(list) => {
            let (first, rest) = name.split_once('.').unwrap_or((name, ""));
            match first.parse::<usize>() {
                Ok(index) if rest.is_empty() => list.get(index).cloned(),
                Ok(index) => part_of_value(list.get(index)?, rest),
                Err(_) => list
                    .iter()
                    .map(|value| part_of_value(value, name))
                    .collect(),
            }
        }
        _ => None,
    }
}

/// Names of all columns, those of nested ones with dots.
fn names(columns: &Map<String, Value>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in columns {
        all.push(name.clone());
        if let Value::Object(parts) = value {
            all.extend(names(parts).iter().map(|part| format!("{name}.{part}")));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping(columns: &[(&str, &str)], values: &[(&str, &str, &str)]) -> Mapping {
        let mut mapping = Mapping::default();
        for (field, column) in columns {
            mapping
                .columns
                .insert((*field).to_owned(), (*column).to_owned());
        }
        for (field, value, meaning) in values {
            let meanings = mapping.values.entry((*field).to_owned()).or_default();
            meanings.insert((*value).to_owned(), (*meaning).to_owned());
        }
        mapping
    }

    fn row(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn dots_lead_into_nested_columns() {
        let row = row(json!({
            "a.b": 1,
            "a": {"b": 2, "c": {"d": 3}},
            "list": [{"text": "x"}, {"text": "y"}],
            "answers": {"text": ["p", "q"]},
        }));
        for (column, expected) in [
            ("a.b", json!(1)),
            ("a.c.d", json!(3)),
            ("list.text", json!(["x", "y"])),
            ("list.1.text", json!("y")),
            ("answers.text", json!(["p", "q"])),
            ("answers.text.0", json!("p")),
        ] {
            let mapping = mapping(&[("field", column)], &[]);
            assert_eq!(mapping.value("field", &row), Ok(expected), "{column}");
        }
        for column in ["a.x", "answers.text.2", "a.b.c", "", ".", "a..b"] {
            let mapping = mapping(&[("field", column)], &[]);
            assert!(mapping.value("field", &row).is_err(), "{column}");
        }
    }

    #[test]
    fn a_missing_column_is_named_with_the_nearest() {
        let row = row(json!({"sentence_1": "P.", "labels": 0, "answers": {"text": []}}));
        for (columns, field, problem, hint) in [
            (
                &[("premise", "sentence1")][..],
                "premise",
                "field \"premise\": there is no column \"sentence1\"",
                "there is a column \"sentence_1\"",
            ),
            (
                &[("premise", "answers.texts")],
                "premise",
                "field \"premise\": there is no column \"answers.texts\"",
                "there is a column \"answers.text\"",
            ),
            (
                &[],
                "label",
                "field \"label\" is missing",
                "there is a field \"labels\"",
            ),
            (
                &[],
                "xyz",
                "field \"xyz\" is missing",
                "its columns are sentence_1, labels, answers, answers.text",
            ),
        ] {
            let error = mapping(columns, &[]).value(field, &row).unwrap_err();
            assert_eq!(
                (error.problem.as_str(), error.hint.as_deref()),
                (problem, Some(hint))
            );
        }
    }

    #[test]
    fn values_are_looked_up_as_they_are_written() {
        let mapping = mapping(
            &[("label", "gold")],
            &[("label", "0", "entailment"), ("label", "true", "yes")],
        );
        for (value, expected) in [
            (json!(0), "entailment"),
            (json!("0"), "entailment"),
            (json!(true), "yes"),
        ] {
            let found = mapping.value("label", &row(json!({"gold": value})));
            assert_eq!(found, Ok(json!(expected)));
        }
        let error = mapping
            .value("label", &row(json!({"gold": -1})))
            .unwrap_err();
        assert_eq!(
            error.problem,
            "field \"label\": `values` does not say what -1 means"
        );
        assert_eq!(error.hint.as_deref(), Some("it knows 0, true"));
    }
}
