//! XSum: a news article in one sentence.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, summary};
use crate::record::{FieldError, Record};

pub(super) struct XSum;

impl Task for XSum {
    fn name(&self) -> &'static str {
        "xsum"
    }
    fn title(&self) -> &'static str {
        "XSum"
    }
    fn fields(&self) -> Vec<&str> {
        summary::FIELDS.to_vec()
    }
    fn metric(&self) -> MetricKind {
        MetricKind::Rouge2
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::Text
    }
    fn max_input_tokens(&self) -> Option<usize> {
        Some(summary::MAX_INPUT_TOKENS)
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        summary::render(record)
    }
}
