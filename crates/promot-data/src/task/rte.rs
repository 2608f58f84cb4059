//! RTE: does the premise entail the hypothesis?

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, nli};
use crate::record::{FieldError, Record};
use crate::split::Split;

pub(super) struct Rte;

impl Task for Rte {
    fn name(&self) -> &'static str {
        "rte"
    }
    fn title(&self) -> &'static str {
        "RTE"
    }
    fn fields(&self) -> Vec<&str> {
        nli::FIELDS.to_vec()
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
        let verbalizer = [("entailment", "True"), ("not_entailment", "False")];
        nli::render(record, "true or false", &verbalizer)
    }
}
