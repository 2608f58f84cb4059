//! CommitmentBank: is the hypothesis true, false, or neither, given the premise?

use promot_core::MetricKind;

use super::{AnswerFormat, Rendered, Task, nli};
use crate::record::{FieldError, Record};
use crate::split::Split;

pub(super) struct Cb;

impl Task for Cb {
    fn name(&self) -> &'static str {
        "cb"
    }
    fn title(&self) -> &'static str {
        "CB"
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
    fn evaluation_split(&self) -> Split {
        Split::Validation
    }
    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        nli::render_three_way(record)
    }
}
