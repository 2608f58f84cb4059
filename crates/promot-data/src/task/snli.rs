//! SNLI: is the hypothesis true, false, or neither, given the premise?

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, nli};
use crate::record::{FieldError, Record};

pub(super) struct Snli;

impl Task for Snli {
    fn name(&self) -> &'static str {
        "snli"
    }
    fn title(&self) -> &'static str {
        "SNLI"
    }
    fn fields(&self) -> Vec<&str> {
        nli::FIELDS.to_vec()
    }
    fn metric(&self) -> MetricKind {
        MetricKind::Accuracy
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::labels(nli::THREE_WAY)
    }

    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        nli::render_three_way(record)
    }
}
