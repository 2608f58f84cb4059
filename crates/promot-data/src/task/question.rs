//! What the closed-book question answering tasks share.

use super::Rendered;
use crate::record::{FieldError, Record};

/// Fields of a question row.
pub(super) const FIELDS: &[&str] = &["question", "answers"];

/// `Q: [question] A:`; the first answer is learned, any is right.
pub(super) fn render(record: &Record) -> Result<Rendered, FieldError> {
    let references = record.texts("answers")?;
    Ok(Rendered {
        input: format!("Q: {} A:", record.text("question")?),
        target: references[0].clone(),
        references,
    })
}
