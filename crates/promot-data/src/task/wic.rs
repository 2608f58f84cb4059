//! WiC: does a word have the same sense in two sentences?

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task};
use crate::record::{FieldError, Record};
use crate::split::Split;

pub(super) struct Wic;

impl Task for Wic {
    fn name(&self) -> &'static str {
        "wic"
    }
    fn title(&self) -> &'static str {
        "WiC"
    }
    fn fields(&self) -> Vec<&str> {
        vec!["word", "sentence1", "sentence2", "label"]
    }
    fn metric(&self) -> MetricKind {
        MetricKind::Accuracy
    }
    fn answer_format(&self) -> AnswerFormat {
        AnswerFormat::labels(&["True", "False"])
    }
    fn evaluation_split(&self) -> Split {
        Split::Validation
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        let (first, second) = (record.text("sentence1")?, record.text("sentence2")?);
        let word = record.text("word")?;
        let input = format!(
            "{first} {second} question: The word {word} is used in the same way in the two \
             sentences. Is it true or False? answer:"
        );
        Ok(Rendered::single(
            input,
            if record.boolean("label")? {
                "True"
            } else {
                "False"
            },
        ))
    }
}
