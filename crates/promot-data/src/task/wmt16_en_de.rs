//! WMT16 En-De: translation from English to German.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, translation};
use crate::record::{FieldError, Record};

pub(super) struct Wmt16EnDe;

impl Task for Wmt16EnDe {
    fn name(&self) -> &'static str {
        "wmt16_en_de"
    }
    fn title(&self) -> &'static str {
        "WMT16 En-De"
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
        translation::render(record, "German")
    }
}
