//! A row as its source gives it: named fields, not yet a prompt.

use serde_json::{Map, Value};
use thiserror::Error;

/// A row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it comes from, for people: `train:12`, or a file and line.
    pub id: String,
    fields: Map<String, Value>,
}

/// A field that a task cannot use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{problem}")]
pub struct FieldError {
    /// What is the matter, with the field's name.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Record {
    /// A row with the given fields.
    pub fn new(id: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self {
            id: id.into(),
            fields,
        }
    }

    /// The text of field `name`.
    ///
    /// # Errors
    /// If it is missing or no text; a field of a similar name is suggested.
    pub fn text(&self, name: &str) -> Result<&str, FieldError> {
        let value = self.value(name)?;
        value
            .as_str()
            .ok_or_else(|| wrong_type(name, "text", value))
    }

    /// The text, number or truth value in field `name` as it is written.
    ///
    /// # Errors
    /// If it is missing, nothing, or has parts.
    pub fn written(&self, name: &str) -> Result<String, FieldError> {
        let value = self.value(name)?;
        written(value).ok_or_else(|| wrong_type(name, "a text or a number", value))
    }

    /// The truth value of field `name`; also one that is written as text (`true`, `false`, `0`,
    /// `1`) or as a number, since CSV files know nothing but text.
    ///
    /// # Errors
    /// If it is missing or neither true nor false.
    pub fn boolean(&self, name: &str) -> Result<bool, FieldError> {
        let value = self.value(name)?;
        match written(value).as_deref() {
            Some("true" | "True" | "TRUE" | "1") => Ok(true),
            Some("false" | "False" | "FALSE" | "0") => Ok(false),
            _ => Err(wrong_type(name, "true or false", value)),
        }
    }

    /// The texts of field `name`, at least one; also a list that is written as JSON, and a single
    /// text.
    ///
    /// # Errors
    /// If it is missing, no list of texts, or empty.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, FieldError> {
        let texts = self.list(name)?;
        if texts.is_empty() {
            return Err(wrong_type(name, "a list of texts", self.value(name)?));
        }
        Ok(texts)
    }

    /// The same, but there may be none.
    ///
    /// # Errors
    /// If it is missing or no list of texts.
    pub fn list(&self, name: &str) -> Result<Vec<String>, FieldError> {
        let value = self.value(name)?;
        let texts = |list: &[Value]| -> Option<Vec<String>> {
            list.iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect()
        };
        let found = match value {
            Value::Array(list) => texts(list),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(Value::Array(list)) => texts(&list),
                _ => Some(vec![text.clone()]),
            },
            _ => None,
        };
        found.ok_or_else(|| wrong_type(name, "a list of texts", value))
    }

    /// The number in field `name`, from 0 up to `end`; also one that is written as text.
    ///
    /// # Errors
    /// If it is missing or out of range.
    pub fn index(&self, name: &str, end: usize) -> Result<usize, FieldError> {
        let value = self.value(name)?;
        let index = written(value).and_then(|digits| digits.parse::<usize>().ok());
        index
            .filter(|&index| index < end)
            .ok_or_else(|| wrong_type(name, &format!("a number below {end}"), value))
    }

    fn value(&self, name: &str) -> Result<&Value, FieldError> {
        self.fields.get(name).ok_or_else(|| {
            missing(
                name,
                &self.fields.keys().map(String::as_str).collect::<Vec<_>>(),
            )
        })
    }
}

/// A text, number or truth value as it is written; nothing else has one way to write it.
pub(crate) fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// That there is no field `name` among `names`.
pub(crate) fn missing(name: &str, names: &[&str]) -> FieldError {
    FieldError {
        problem: format!("field {name:?} is missing"),
        hint: nearest(name, names).map(|near| format!("there is a field {near:?}")),
    }
}

/// The name most like `name`, if one is close.
pub(crate) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let score = |other: &str| (strsim::jaro_winkler(other, name) * 1e6) as u64;
    names
        .iter()
        .copied()
        .filter(|other| score(other) > 750_000)
        .max_by_key(|other| score(other))
}

fn wrong_type(name: &str, expected: &str, value: &Value) -> FieldError {
    let mut found = value.to_string();
    if found.chars().count() > 60 {
        found = found.chars().take(57).collect::<String>() + "...";
    }
    FieldError {
        problem: format!("field {name:?}: expected {expected}, found {found}"),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Record {
        Record::new("row", Map::from_iter([("field".to_owned(), value)]))
    }

    #[test]
    fn what_a_task_asks_for_is_read_from_text() {
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("1"), Some(true)),
            (json!(1), Some(true)),
            (json!("False"), Some(false)),
            (json!("0"), Some(false)),
            (json!(0), Some(false)),
            (json!("2"), None),
            (json!(""), None),
            (json!(null), None),
        ] {
            assert_eq!(
                record(value.clone()).boolean("field").ok(),
                expected,
                "{value}"
            );
        }
        for (value, expected) in [
            (json!(2), Some(2)),
            (json!("3"), Some(3)),
            (json!("4"), None),
            (json!("-1"), None),
            (json!("1.0"), None),
            (json!([1]), None),
        ] {
            assert_eq!(
                record(value.clone()).index("field", 4).ok(),
                expected,
                "{value}"
            );
        }
        for (value, expected) in [
            (json!(["a", "b"]), Some(vec!["a", "b"])),
            (json!("[\"a\", \"b\"]"), Some(vec!["a", "b"])),
            (json!("a, b"), Some(vec!["a, b"])),
            (json!("[a"), Some(vec!["[a"])),
            (json!([]), None),
            (json!(["a", 1]), None),
            (json!(7), None),
        ] {
            let texts = record(value.clone()).texts("field").ok();
            let expected = expected.map(|texts| texts.iter().map(|t| (*t).to_owned()).collect());
            assert_eq!(texts, expected, "{value}");
        }
        assert_eq!(
            record(json!([])).list("field").unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_cannot_be_read_is_shown() {
        let error = record(json!("maybe")).boolean("field").unwrap_err();
        assert_eq!(
            error.problem,
            "field \"field\": expected true or false, found \"maybe\""
        );
        let error = record(json!({"a": 1})).written("field").unwrap_err();
        assert_eq!(
            error.problem,
            "field \"field\": expected a text or a number, found {\"a\":1}"
        );
    }
}
