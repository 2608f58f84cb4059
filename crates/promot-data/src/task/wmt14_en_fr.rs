//! WMT14 En-Fr: translation from English to French.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, translation};
use crate::record::{FieldError, Record};

pub(super) struct Wmt14EnFr;

impl Task for Wmt14EnFr {
    fn name(&self) -> &'static str {
        "wmt14_en_fr"
    }
    fn title(&self) -> &'static str {
        "WMT14 En-Fr"
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
        translation::render(record, "French")
    }
}
