//! OpenBookQA: a question with four options.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task};
use crate::record::{FieldError, Record};

pub(super) struct OpenBookQa;

const LETTERS: &[&str] = &["A", "B", "C", "D"];

impl Task for OpenBookQa {
    fn name(&self) -> &'static str {
        "openbookqa"
    }
    fn title(&self) -> &'static str {
        "OpenBookQA"
    }
    fn fields(&self) -> Vec<&str> {
        vec!["question", "choices", "answer_index"]
    }
    fn metric(&self) -> MetricKind {
        MetricKind::Accuracy
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::labels(LETTERS)
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        let question = record.text("question")?;
        let choices = record.texts("choices")?;
        let [a, b, c, d] = choices.as_slice() else {
            return Err(FieldError {
                problem: format!(
                    "field \"choices\": expected 4 options, found {}",
                    choices.len()
                ),
                hint: None,
            });
        };
        let input = format!("Q: {question} A) {a} B) {b} C) {c} D) {d} A:");
        Ok(Rendered::single(
            input,
            LETTERS[record.index("answer_index", LETTERS.len())?],
        ))
    }
}
