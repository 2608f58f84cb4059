//! YAML with places. `marked-yaml` reads the structure, since `serde_yaml` keeps no positions of
//! values; what a plain scalar means (number, truth value, text) is decided by `serde_yaml`.

use marked_yaml::types::{MarkedScalarNode, Node as Marked, Span};
use marked_yaml::{LoadError, LoaderOptions, parse_yaml_with_options};
use promot_core::BYTE_ORDER_MARK;
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
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text: key, place of the key, value.
    Map(Vec<(String, Place, Node)>),
}

/// What is neither a list nor a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// What it is read as: a plain `True` is a truth value, a quoted one is text.
    pub means: serde_yaml::Value,
    /// The letters that stand there, without quotes.
    pub written: String,
}

impl Scalar {
    /// A text, whatever it looks like.
    pub fn text(text: impl Into<String>) -> Self {
        let written = text.into();
        Self {
            means: serde_yaml::Value::String(written.clone()),
            written,
        }
    }
}

impl Node {
    /// What kind of value this is, with the value where it is short.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => match &scalar.means {
                serde_yaml::Value::Null => "nothing".to_owned(),
                serde_yaml::Value::Bool(_) => format!("`{}`", scalar.written),
                serde_yaml::Value::Number(_) => format!("number {}", scalar.written),
                _ => format!("text `{}`", scalar.written),
            },
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// What it is read as, if it is neither a list nor a mapping.
    fn means(&self) -> Option<&serde_yaml::Value> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.means),
            _ => None,
        }
    }

    /// Whether nothing stands there, or `null`.
    pub fn is_null(&self) -> bool {
        self.means().is_some_and(serde_yaml::Value::is_null)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        self.means()?.as_str()
    }

    /// The whole number, if it is one that is not negative.
    pub fn as_count(&self) -> Option<u64> {
        self.means()?.as_u64()
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        self.means()?.as_f64()
    }

    /// The truth value, if it is one.
    pub fn as_flag(&self) -> Option<bool> {
        self.means()?.as_bool()
    }

    /// The value itself, or the values of a list: where one stands for a list of one.
    pub fn one_or_more(&self) -> &[Node] {
        match &self.value {
            Value::List(list) => list,
            _ => std::slice::from_ref(self),
        }
    }

    /// A text, number or truth value in the letters of the file: `True`, `1.50`.
    pub fn written(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.means.is_null() => Some(&scalar.written),
            _ => None,
        }
    }

    /// A text, number or truth value in the letters that all ways to write it have in common: `true`, `1.5`.
    pub fn canonical(&self) -> Option<String> {
        match self.means()? {
            serde_yaml::Value::String(text) => Some(text.clone()),
            serde_yaml::Value::Number(number) => Some(number.to_string()),
            serde_yaml::Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// A text without the mark that some editors put at its beginning.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Parses a text whose top is a mapping.
pub(super) fn parse(source: usize, text: &str) -> Result<Node, (Place, String)> {
    let start = Place {
        source,
        line: 1,
        column: 1,
    };
    check_whole(start, text)?;
    let options = LoaderOptions::default()
        .error_on_duplicate_keys(true)
        .prevent_coercion(true);
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
        Marked::Scalar(scalar) => Value::Scalar(read_scalar(scalar)),
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
fn read_scalar(scalar: &MarkedScalarNode) -> Scalar {
    let text = Scalar::text(scalar.as_str());
    if !scalar.may_coerce() {
        return text;
    }
    match serde_yaml::from_str(scalar.as_str()) {
        Ok(
            means @ (serde_yaml::Value::Null
            | serde_yaml::Value::Bool(_)
            | serde_yaml::Value::Number(_)),
        ) => Scalar { means, ..text },
        // A plain text such as `builtin:mini-t5`, or what looks like a mapping out of context.
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `key` in a text.
    fn value(text: &str, key: &str) -> Node {
        let Value::Map(entries) = parse(0, text).expect("YAML").value else {
            panic!("a mapping");
        };
        let found = entries.into_iter().find(|(name, ..)| name == key);
        found.expect("a key of the text").2
    }

    #[test]
    fn quotes_make_text_of_what_looks_like_something_else() {
        for looks in ["True", "false", "1", "1.50", "~", "null"] {
            for quoted in [format!("\"{looks}\""), format!("'{looks}'")] {
                let node = value(&format!("word: {quoted}"), "word");
                assert_eq!(node.as_text(), Some(looks), "{quoted}");
                assert_eq!(node.written(), Some(looks), "{quoted}");
            }
            let plain = value(&format!("word: {looks}"), "word");
            assert_eq!(plain.as_text(), None, "{looks}");
        }
    }

    #[test]
    fn a_plain_value_keeps_its_letters() {
        for (plain, canonical) in [("True", "true"), ("1.50", "1.5"), ("word", "word")] {
            let node = value(&format!("word: {plain}"), "word");
            assert_eq!(node.written(), Some(plain));
            assert_eq!(node.canonical().as_deref(), Some(canonical));
        }
        assert_eq!(value("word: ", "word").written(), None);
    }
}
