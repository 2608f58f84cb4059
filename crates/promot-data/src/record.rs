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

    /// The truth value of field `name`.
    ///
    /// # Errors
    /// If it is missing or neither true nor false.
    pub fn boolean(&self, name: &str) -> Result<bool, FieldError> {
        let value = self.value(name)?;
        value
            .as_bool()
            .ok_or_else(|| wrong_type(name, "true or false", value))
    }

    /// The texts of field `name`, at least one.
    ///
    /// # Errors
    /// If it is missing, no list of texts, or empty.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, FieldError> {
        let value = self.value(name)?;
        let expected = || wrong_type(name, "a list of texts", value);
        let list = value.as_array().ok_or_else(expected)?;
        let texts: Option<Vec<String>> = list
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect();
        match texts {
            Some(texts) if !texts.is_empty() => Ok(texts),
            _ => Err(expected()),
        }
    }

    /// The number in field `name`, from 0 up to `end`.
    ///
    /// # Errors
    /// If it is missing or out of range.
    pub fn index(&self, name: &str, end: usize) -> Result<usize, FieldError> {
        let value = self.value(name)?;
        let index = value.as_u64().and_then(|index| usize::try_from(index).ok());
        index
            .filter(|&index| index < end)
            .ok_or_else(|| wrong_type(name, &format!("a number below {end}"), value))
    }

    fn value(&self, name: &str) -> Result<&Value, FieldError> {
        self.fields.get(name).ok_or_else(|| FieldError {
            problem: format!("field {name:?} is missing"),
            hint: self
                .nearest(name)
                .map(|near| format!("there is a field {near:?}")),
        })
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        let close = |other: &&String| strsim::jaro_winkler(other, name) > 0.75;
        let score = |other: &String| (strsim::jaro_winkler(other, name) * 1e6) as u64;
        self.fields
            .keys()
            .filter(close)
            .max_by_key(|other| score(other))
            .map(String::as_str)
    }
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
