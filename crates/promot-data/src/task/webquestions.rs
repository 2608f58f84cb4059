//! WebQuestions: questions that people asked a search engine.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, question};
use crate::record::{FieldError, Record};

pub(super) struct WebQuestions;

impl Task for WebQuestions {
    fn name(&self) -> &'static str {
        "webquestions"
    }
    fn title(&self) -> &'static str {
        "WebQuestions"
    }
    fn fields(&self) -> Vec<&str> {
        question::FIELDS.to_vec()
    }
    fn metric(&self) -> MetricKind {
        MetricKind::ExactMatch
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::Text
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        question::render(record)
    }
}
