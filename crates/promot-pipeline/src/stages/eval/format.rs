//! Whether answers are in a tuned task's format where that is foreign.

use promot_data::task::AnswerFormat;

use super::measured::Measured;

/// The words that targets are answered with.
pub(in crate::stages) fn target_labels(measured: &[Measured]) -> Vec<String> {
    let mut words = Vec::new();
    for what in measured.iter().filter(|what| what.target.is_some()) {
        if let AnswerFormat::Labels(labels) = what.task.answer_format() {
            words.extend(labels);
        }
    }
    words
}

/// The share of answers that begin with one of the target's labels, where the task has a format of
/// its own.
pub(in crate::stages) fn format_share(
    what: &Measured,
    formats: &[String],
    outputs: &[String],
) -> Option<f64> {
    if formats.is_empty() || what.task.answer_format() != AnswerFormat::Text {
        return None;
    }
    let foreign = outputs
        .iter()
        .filter(|output| formats.iter().any(|label| begins_with(output, label)));
    Some(100.0 * foreign.count() as f64 / outputs.len() as f64)
}

/// Whether the first words of `output`, without punctuation, are those of `label`.
fn begins_with(output: &str, label: &str) -> bool {
    let mut words = output.split_whitespace();
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    label.split_whitespace().all(|expected| {
        words
            .next()
            .is_some_and(|word| bare(word) == bare(expected))
    })
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn labels_are_compared_word_by_word() {
        for (output, label) in [("\"True\", I think", "True"), ("very good.", "very good")] {
            assert!(begins_with(output, label), "{output}");
        }
        for (output, label) in [("Truely", "True"), ("very", "very good"), ("", "True")] {
            assert!(!begins_with(output, label), "{output}");
        }
    }
}
