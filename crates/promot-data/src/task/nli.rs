//! What the natural language inference tasks share: two sentences and a verdict.

use super::Rendered;
use crate::record::{FieldError, Record};

/// Fields of an inference row.
pub(super) const FIELDS: &[&str] = &["premise", "hypothesis", "label"];

/// `[premise] question: [hypothesis] Is it {choices}? answer:` with the verbalized label.
pub(super) fn render(
    record: &Record,
    choices: &str,
    verbalizer: &[(&str, &str)],
) -> Result<Rendered, FieldError> {
    let (premise, hypothesis) = (record.text("premise")?, record.text("hypothesis")?);
    let label = record.text("label")?;
    let Some((_, word)) = verbalizer.iter().find(|(name, _)| *name == label) else {
        let names: Vec<&str> = verbalizer.iter().map(|(name, _)| *name).collect();
        return Err(FieldError {
            problem: format!("field \"label\": unknown label {label:?}"),
            hint: Some(format!("expected one of {}", names.join(", "))),
        });
    };
    let input = format!("{premise} question: {hypothesis} Is it {choices}? answer:");
    Ok(Rendered::single(input, *word))
}

/// The answers of a three-way inference task.
pub(super) const THREE_WAY: &[&str] = &["True", "False", "Neither"];

/// The same with three verdicts, as CB and SNLI have them.
pub(super) fn render_three_way(record: &Record) -> Result<Rendered, FieldError> {
    let verbalizer = [
        ("entailment", "True"),
        ("contradiction", "False"),
        ("neutral", "Neither"),
    ];
    render(record, "true or false or neither", &verbalizer)
}
