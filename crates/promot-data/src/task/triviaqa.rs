//! TriviaQA: trivia questions without documents.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, question};
use crate::record::{FieldError, Record};

pub(super) struct TriviaQa;

impl Task for TriviaQa {
    fn name(&self) -> &'static str {
        "triviaqa"
    }
    fn title(&self) -> &'static str {
        "TriviaQA"
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
