//! What the summarisation tasks share.

use super::Rendered;
use crate::record::{FieldError, Record};

/// Fields of a summarisation row.
pub(super) const FIELDS: &[&str] = &["document", "summary"];

/// Inputs are cut to so many tokens (paper section A.2.4).
pub(super) const MAX_INPUT_TOKENS: usize = 1024;

/// `Article: [article] One sentence summary:`.
pub(super) fn render(record: &Record) -> Result<Rendered, FieldError> {
    let input = format!(
        "Article: {} One sentence summary:",
        record.text("document")?
    );
    Ok(Rendered::single(input, record.text("summary")?))
}
