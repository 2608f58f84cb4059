//! What the translation tasks share.

use super::Rendered;
use crate::record::{FieldError, Record};

/// Fields of a translation row.
pub(super) const FIELDS: &[&str] = &["source", "target"];

/// `Translate English to [language]: [sentence]`.
pub(super) fn render(record: &Record, language: &str) -> Result<Rendered, FieldError> {
    let input = format!(
        "Translate English to {language}: {}",
        record.text("source")?
    );
    Ok(Rendered::single(input, record.text("target")?))
}
