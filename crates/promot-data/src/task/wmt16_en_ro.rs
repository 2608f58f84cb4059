//! WMT16 En-Ro: translation from English to Romanian.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, translation};
use crate::record::{FieldError, Record};

pub(super) struct Wmt16EnRo;

impl Task for Wmt16EnRo {
    fn name(&self) -> &'static str {
        "wmt16_en_ro"
    }
    fn title(&self) -> &'static str {
        "WMT16 En-Ro"
    }
    fn fields(&self) -> Vec<&str> {
        translation::FIELDS.to_vec()
    }
    fn metric(&self) -> MetricKind {
        MetricKind::Bleu
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::Text
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        translation::render(record, "Romanian")
    }
}
