//! Reads the fields of a mapping; every problem is noted and reading goes on.

use super::node::{Node, Value};
use crate::diagnostic::{Diagnostics, Place};

/// The fields of one mapping, taken one by one; what is left at the end is unknown.
pub struct Fields<'n> {
    what: String,
    place: Place,
    left: Vec<(&'n str, Place, &'n Node)>,
    valid: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The fields of `node`; anything but a mapping is a problem, `null` an empty mapping.
    pub fn of(node: &'n Node, what: impl Into<String>, diagnostics: &mut Diagnostics) -> Self {
        let what = what.into();
        let left = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, place, node)| (key.as_str(), *place, node))
                .collect(),
            _ if node.is_null() => Vec::new(),
            _ => {
                let message = format!("{what}: expected a mapping, found {}", node.describe());
                diagnostics.push(node.place, message, None);
                Vec::new()
            }
        };
        Self {
            what,
            place: node.place,
            left,
            valid: Vec::new(),
        }
    }

    /// Where the mapping starts.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The value of `key`, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.valid.push(key);
        let index = self.left.iter().position(|(name, ..)| *name == key)?;
        Some(self.left.remove(index).2)
    }

    /// The value of `key`; its absence is a problem.
    pub fn require(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n Node> {
        let node = self.take(key);
        if node.is_none() {
            diagnostics.push(
                self.place,
                format!("{}: `{key}` is missing", self.what),
                None,
            );
        }
        node
    }

    /// Everything that was not taken is unknown. Returns whether there was anything.
    pub fn finish(self, diagnostics: &mut Diagnostics) -> bool {
        for (key, place, _) in &self.left {
            diagnostics.unknown(*place, &format!("key of {}", self.what), key, &self.valid);
        }
        !self.left.is_empty()
    }

    /// A whole number in `range`, or `default` if absent.
    pub fn count(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
        diagnostics: &mut Diagnostics,
    ) -> u64 {
        self.optional_count(key, range, diagnostics)
            .unwrap_or(default)
    }

    /// A whole number in `range`, if there is one.
    pub fn optional_count(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        diagnostics: &mut Diagnostics,
    ) -> Option<u64> {
        let node = self.take(key)?;
        let within = node.as_count().filter(|number| range.contains(number));
        if within.is_none() {
            let expected = if *range.end() == u64::MAX {
                format!("a whole number of at least {}", range.start())
            } else {
                format!("a whole number from {} to {}", range.start(), range.end())
            };
            let message = format!("`{key}`: expected {expected}, found {}", node.describe());
            diagnostics.push(node.place, message, None);
        }
        within
    }

    /// A number in `range`, or `default` if absent.
    pub fn number(
        &mut self,
        key: &'static str,
        range: std::ops::Range<f64>,
        default: f64,
        diagnostics: &mut Diagnostics,
    ) -> f64 {
        let Some(node) = self.take(key) else {
            return default;
        };
        node.as_number()
            .filter(|number| range.contains(number))
            .unwrap_or_else(|| {
                let expected = if range.end.is_finite() {
                    format!("a number from {} up to {}", range.start, range.end)
                } else {
                    format!("a number of at least {}", range.start)
                };
                let message = format!("`{key}`: expected {expected}, found {}", node.describe());
                diagnostics.push(node.place, message, None);
                default
            })
    }

    /// A number in `range`, its ends included, if there is one.
    pub fn optional_number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        diagnostics: &mut Diagnostics,
    ) -> Option<f64> {
        let node = self.take(key)?;
        let within = node.as_number().filter(|number| range.contains(number));
        if within.is_none() {
            let (start, end) = (range.start(), range.end());
            let message = format!(
                "`{key}`: expected a number from {start} to {end}, found {}",
                node.describe()
            );
            diagnostics.push(node.place, message, None);
        }
        within
    }

    /// A truth value, or `default` if absent.
    pub fn flag(
        &mut self,
        key: &'static str,
        default: bool,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let Some(node) = self.take(key) else {
            return default;
        };
        node.as_flag().unwrap_or_else(|| {
            let message = format!("`{key}`: expected true or false, found {}", node.describe());
            diagnostics.push(node.place, message, None);
            default
        })
    }

    /// One of the named choices, or `default` if absent.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        default: T,
        diagnostics: &mut Diagnostics,
    ) -> T {
        self.take(key)
            .and_then(|node| chosen(node, key, choices, diagnostics))
            .unwrap_or(default)
    }

    /// One of the named choices; its absence is a problem.
    pub fn required_choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        self.require(key, diagnostics)
            .and_then(|node| chosen(node, key, choices, diagnostics))
    }

    /// A text with its place, if there is one.
    pub fn text(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(&'n str, Place)> {
        self.take(key)
            .and_then(|node| text_of(node, key, diagnostics))
    }

    /// A text with its place; its absence is a problem.
    pub fn require_text(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(&'n str, Place)> {
        self.require(key, diagnostics)
            .and_then(|node| text_of(node, key, diagnostics))
    }
}

fn text_of<'n>(
    node: &'n Node,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(&'n str, Place)> {
    let text = node.as_text();
    if text.is_none() {
        let message = format!("`{key}`: expected text, found {}", node.describe());
        diagnostics.push(node.place, message, None);
    }
    text.map(|text| (text, node.place))
}

fn chosen<T: Copy>(
    node: &Node,
    key: &str,
    choices: &[(&'static str, T)],
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let text = node.as_text().unwrap_or("");
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Some(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    match node.as_text() {
        Some(text) => diagnostics.unknown(node.place, key, text, &names),
        None => {
            let message = format!(
                "`{key}`: expected one of {}, found {}",
                names.join(", "),
                node.describe()
            );
            diagnostics.push(node.place, message, None);
        }
    }
    None
}
