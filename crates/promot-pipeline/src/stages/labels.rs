//! Labels that no answer can be.

use promot_data::task::{AnswerFormat, Task};
use promot_data::tokenizer::Tokenizer;

/// Labels that come out of the tokenizer as another text: whatever a model with it answers, it is none
/// of these.
pub(crate) fn impossible_labels(task: &dyn Task, tokenizer: &Tokenizer) -> Vec<String> {
    let AnswerFormat::Labels(labels) = task.answer_format() else {
        return Vec::new();
    };
    let is_possible = |label: &String| {
        let written = tokenizer.decode(&tokenizer.encode_target(label));
        task.post_process(&written) == task.post_process(label)
    };
    labels
        .into_iter()
        .filter(|label| !is_possible(label))
        .collect()
}
