//! YAML with places. `marked-yaml` reads the structure, since `serde_yaml` keeps no positions of
//! values; what a plain scalar means (number, truth value, text) is decided by `serde_yaml`.

use marked_yaml::types::{MarkedScalarNode, Node as Marked, Span};
use marked_yaml::{LoadError, LoaderOptions, parse_yaml_with_options};
use serde::Deserialize as _;

use crate::diagnostic::Place;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null, a truth value, a number or a text.
    Scalar(serde_yaml::Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text: key, place of the key, value.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// What kind of value this is, with the value where it is short.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(serde_yaml::Value::Null) => "nothing".to_owned(),
            Value::Scalar(serde_yaml::Value::String(text)) => format!("text `{text}`"),
            Value::Scalar(serde_yaml::Value::Bool(value)) => format!("`{value}`"),
            Value::Scalar(serde_yaml::Value::Number(number)) => format!("number {number}"),
            Value::Scalar(_) => "a tagged value".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => scalar.as_str(),
            _ => None,
        }
    }

    /// A text, number or truth value as it is written.
    pub fn written(&self) -> Option<String> {
        match &self.value {
            Value::Scalar(serde_yaml::Value::String(text)) => Some(text.clone()),
            Value::Scalar(serde_yaml::Value::Number(number)) => Some(number.to_string()),
            Value::Scalar(serde_yaml::Value::Bool(value)) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// A text without the mark that some editors put at its beginning.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Parses a text whose top is a mapping.
pub(super) fn parse(source: usize, text: &str) -> Result<Node, (Place, String)> {
    let start = Place {
        source,
        line: 1,
        column: 1,
    };
    check_whole(start, text)?;
    let options = LoaderOptions::default().error_on_duplicate_keys(true);
    match parse_yaml_with_options(source, text, options) {
        Ok(marked) => Ok(convert(source, &marked)),
        Err(error) => Err(describe_error(start, &error)),
    }
}

/// What `marked-yaml` passes over in silence: it reads the first document of a text up to a zero byte, and
/// goes as deep as the text does.
fn check_whole(start: Place, text: &str) -> Result<(), (Place, String)> {
    let at = |line: usize, column| Place {
        line,
        column,
        ..start
    };
    let line_with = |found: &dyn Fn(&str) -> bool| text.lines().position(found);
    if let Some(line) = line_with(&|line| line.contains('\0')) {
        return Err((at(line + 1, 1), "a zero byte is no YAML".to_owned()));
    }
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return Ok(());
    };
    if let Err(error) = serde_yaml::Value::deserialize(first) {
        let place = error.location();
        let place = place.map_or(start, |place| at(place.line(), place.column()));
        // Other errors are told below, in the words of this file.
        return match error.to_string().contains("recursion limit") {
            true => Err((place, "nested too deep".to_owned())),
            false => Ok(()),
        };
    }
    if documents.next().is_some() {
        let begins = |line: &str| line.starts_with("---") || line.starts_with("...");
        let before = |line: &str| line.trim().is_empty() || line.starts_with(['#', '%']);
        // A mark before the first value begins the first document.
        let lines = text.lines().enumerate();
        let mut lines = lines.skip_while(|(_, line)| before(line) || begins(line));
        let line = lines.find(|(_, line)| begins(line));
        let line = line.map_or(1, |(line, _)| line + 1);
        let message = "a second document in one file: only one is read".to_owned();
        return Err((at(line, 1), message));
    }
    Ok(())
}

fn describe_error(start: Place, error: &LoadError) -> (Place, String) {
    let at = |marker: &marked_yaml::Marker| Place {
        source: start.source,
        line: marker.line(),
        column: marker.column(),
    };
    match error {
        LoadError::TopLevelMustBeMapping(marker) => (
            at(marker),
            "expected a mapping with `version`, `name` and `stages`".to_owned(),
        ),
        LoadError::UnexpectedAnchor(marker) => (
            at(marker),
            "anchors and aliases are not supported".to_owned(),
        ),
        LoadError::MappingKeyMustBeScalar(marker) => {
            (at(marker), "a key must be a plain word".to_owned())
        }
        LoadError::UnexpectedTag(marker) => (at(marker), "tags are not supported".to_owned()),
        LoadError::ScanError(marker, error) => (at(marker), format!("not YAML: {error}")),
        LoadError::DuplicateKey(inner) => {
            let key = inner.key.as_str();
            (
                place(start.source, inner.key.span()),
                format!("key `{key}` stands twice"),
            )
        }
        other => (start, format!("not YAML: {other}")),
    }
}

fn place(source: usize, span: &Span) -> Place {
    let (line, column) = span
        .start()
        .map_or((1, 1), |marker| (marker.line(), marker.column()));
    Place {
        source,
        line,
        column,
    }
}

fn convert(source: usize, marked: &Marked) -> Node {
    let value = match marked {
        Marked::Scalar(scalar) => Value::Scalar(scalar_value(scalar)),
        Marked::Sequence(list) => {
            Value::List(list.iter().map(|node| convert(source, node)).collect())
        }
        Marked::Mapping(map) => {
            let entry = |(key, node): (&MarkedScalarNode, &Marked)| {
                (
                    key.as_str().to_owned(),
                    place(source, key.span()),
                    convert(source, node),
                )
            };
            Value::Map(map.iter().map(entry).collect())
        }
    };
    Node {
        place: place(source, marked.span()),
        value,
    }
}

/// A quoted scalar is text whatever it looks like.
fn scalar_value(scalar: &MarkedScalarNode) -> serde_yaml::Value {
    let text = || serde_yaml::Value::String(scalar.as_str().to_owned());
    if !scalar.may_coerce() {
        return text();
    }
    match serde_yaml::from_str(scalar.as_str()) {
        Ok(
            value @ (serde_yaml::Value::Null
            | serde_yaml::Value::Bool(_)
            | serde_yaml::Value::Number(_)),
        ) => value,
        // A plain text such as `builtin:mini-t5`, or what looks like a mapping out of context.
        _ => text(),
    }
}
