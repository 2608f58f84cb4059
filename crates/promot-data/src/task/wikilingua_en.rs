//! WikiLingua, English: instructions in one sentence.

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, summary};
use crate::record::{FieldError, Record};

pub(super) struct WikiLinguaEn;

impl Task for WikiLinguaEn {
    fn name(&self) -> &'static str {
        "wikilingua_en"
    }
    fn title(&self) -> &'static str {
        "WikiLingua/en"
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
