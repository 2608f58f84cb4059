//! Text with fields of a row in it: `Review: {text} Is it good or bad? answer:`.

use std::fmt;

use thiserror::Error;

use crate::record::FieldError;

/// A text with places for fields. `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// A field's name without an end.
    #[error("the `{{` at character {column} is never closed")]
    Unclosed {
        /// Where the brace is, in characters from 1.
        column: usize,
    },
    /// An end without a field's name.
    #[error("the `}}` at character {column} closes nothing")]
    Unopened {
        /// Where the brace is, in characters from 1.
        column: usize,
    },
    /// Braces with nothing in them.
    #[error("the braces at character {column} have no field in them")]
    NoName {
        /// Where the opening brace is, in characters from 1.
        column: usize,
    },
    /// Only text: all rows would be the same.
    #[error("no field of a row is in it")]
    NoField,
}

impl TemplateError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unclosed { .. } => "write `{name}` for a field and `{{` for a brace",
            Self::Unopened { .. } => "write `{name}` for a field and `}}` for a brace",
            Self::NoName { .. } | Self::NoField => "write the name of a field in braces: `{text}`",
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// ```
    /// use promot_data::task::Template;
    ///
    /// let template = Template::parse("{{x}} Review: {text} answer:").unwrap();
    /// assert_eq!(template.fields(), ["text"]);
    /// ```
    ///
    /// # Errors
    /// If a brace has no partner, or there is no field.
    pub fn parse(written: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut characters = (1..).zip(written.chars()).peekable();
        while let Some((column, character)) = characters.next() {
            let is_double = characters
                .peek()
                .is_some_and(|&(_, next)| next == character);
            match character {
                '{' | '}' if is_double => {
                    characters.next();
                    text.push(character);
                }
                '}' => return Err(TemplateError::Unopened { column }),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match characters.next() {
                            Some((_, '}')) => break,
                            None | Some((_, '{')) => {
                                return Err(TemplateError::Unclosed { column });
                            }
                            Some((_, next)) => name.push(next),
                        }
                    }
                    if name.trim().is_empty() {
                        return Err(TemplateError::NoName { column });
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Field(name.trim().to_owned()));
                }
                other => text.push(other),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        let template = Self {
            written: written.to_owned(),
            parts,
        };
        if template.fields().is_empty() {
            return Err(TemplateError::NoField);
        }
        Ok(template)
    }

    /// The fields in it, each once.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        for part in &self.parts {
            if let Part::Field(name) = part
                && !fields.contains(&name.as_str())
            {
                fields.push(name);
            }
        }
        fields
    }

    /// The text before the first field.
    pub(super) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// The text with `value` of each field in its place.
    pub(super) fn fill(
        &self,
        value: impl Fn(&str) -> Result<String, FieldError>,
    ) -> Result<String, FieldError> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(name) => filled.push_str(&value(name)?),
            }
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in_and_doubled_braces_are_braces() {
        let template = Template::parse("{a} and { b },{a}: {{a}} {{{b}}}").unwrap();
        assert_eq!(template.fields(), ["a", "b"]);
        let filled = template.fill(|name| Ok(name.to_uppercase())).unwrap();
        assert_eq!(filled, "A and B,A: {a} {B}");
        assert_eq!(template.start(), "");
        assert_eq!(Template::parse("Q: {a}").unwrap().start(), "Q: ");
        // What a field holds is no template.
        let filled = template.fill(|_| Ok("{x}".to_owned())).unwrap();
        assert_eq!(filled, "{x} and {x},{x}: {a} {{x}}");
    }

    #[test]
    fn braces_without_partners_are_found_by_character() {
        for (text, error, message) in [
            (
                "é {text",
                TemplateError::Unclosed { column: 3 },
                "the `{` at character 3 is never closed",
            ),
            (
                "{a {b}",
                TemplateError::Unclosed { column: 1 },
                "the `{` at character 1 is never closed",
            ),
            (
                "{a} b}",
                TemplateError::Unopened { column: 6 },
                "the `}` at character 6 closes nothing",
            ),
            (
                "a { }",
                TemplateError::NoName { column: 3 },
                "the braces at character 3 have no field in them",
            ),
            (
                "{{a}}",
                TemplateError::NoField,
                "no field of a row is in it",
            ),
            ("", TemplateError::NoField, "no field of a row is in it"),
        ] {
            let found = Template::parse(text).unwrap_err();
            assert_eq!(found.to_string(), message);
            assert_eq!(found, error);
        }
    }
}
