//! Whether answers are in a tuned task's format where that is foreign.

use promot_data::record::Record;
use promot_data::source::load;
use promot_data::split::Split;
use promot_data::task::{AnswerFormat, Task, TaskRef};

use super::measured::Measured;
use super::text_format::{TextFormat, WordShares};
use crate::plan::{EvalParams, StageKind};
use crate::run::{Context, RunError};

/// Training answers that tell what a target's text looks like.
const ANSWERS: usize = 2000;

/// What a target's answers look like.
pub(in crate::stages) enum TargetFormat {
    /// They are one of these words.
    Labels(Vec<String>),
    /// They are text.
    Text {
        /// The target.
        task: String,
        /// What its training answers are like.
        answers: TextFormat,
    },
}

impl TargetFormat {
    /// Whether answers to `task` should look otherwise.
    fn is_foreign_to(&self, task: &dyn Task) -> bool {
        match self {
            Self::Labels(_) => task.answer_format() == AnswerFormat::Text,
            Self::Text { task: target, .. } => target != task.name(),
        }
    }

    /// Whether `output` looks like an answer of the target, and not like one of the task whose answers
    /// have the words `own`.
    fn has(&self, output: &str, own: &WordShares) -> bool {
        match self {
            Self::Labels(labels) => labels.iter().any(|label| begins_with(output, label)),
            Self::Text { answers, .. } => answers.has(output, own),
        }
    }
}

/// The formats of an evaluation's targets.
pub(super) fn target_formats<B>(
    params: &EvalParams,
    context: &Context<'_, B>,
) -> Result<Vec<TargetFormat>, RunError> {
    let target = |name: &String| {
        let StageKind::Data(data) = &context.artifact(name).0.kind else {
            unreachable!("types were checked");
        };
        let task = context.plan.task(&data.task);
        let rows = match task.answer_format() {
            AnswerFormat::Labels(_) => Vec::new(),
            AnswerFormat::Text => {
                let limit = data.train_rows.map_or(ANSWERS, |rows| rows.min(ANSWERS));
                load(&*task, &data.source.source(), Split::Train, Some(limit))?
            }
        };
        Ok((task, rows))
    };
    let targets: Result<Vec<(TaskRef, Vec<Record>)>, RunError> =
        params.targets.iter().map(target).collect();
    let targets = targets?;
    let targets = targets.iter().map(|(task, rows)| (task, rows.as_slice()));
    Ok(formats_of(targets))
}

/// The formats of targets: labels where targets have them, else what the text of their training answers,
/// of which rows are given, is like.
pub(in crate::stages) fn formats_of<'a>(
    targets: impl Iterator<Item = (&'a TaskRef, &'a [Record])>,
) -> Vec<TargetFormat> {
    let (mut labels, mut texts) = (Vec::new(), Vec::new());
    for (task, rows) in targets {
        match task.answer_format() {
            AnswerFormat::Labels(words) => labels.push(TargetFormat::Labels(words)),
            AnswerFormat::Text => texts.push((task, rows)),
        }
    }
    if !labels.is_empty() {
        return labels;
    }
    let format = |(task, rows): (&TaskRef, &[Record])| {
        // Loading has rendered every row once as a check.
        let rows = rows.iter().take(ANSWERS);
        let answers = rows.filter_map(|row| task.render(row).ok());
        let answers: Vec<String> = answers.map(|rendered| rendered.target).collect();
        TargetFormat::Text {
            task: task.name().to_owned(),
            answers: TextFormat::of(&answers),
        }
    };
    texts.into_iter().map(format).collect()
}

/// The share of answers in the format of a target, where the task has a format of its own.
pub(in crate::stages) fn format_share(
    what: &Measured,
    formats: &[TargetFormat],
    outputs: &[String],
) -> Option<f64> {
    let foreign = formats.iter().filter(|f| f.is_foreign_to(&*what.task));
    let foreign: Vec<&TargetFormat> = foreign.collect();
    if foreign.is_empty() {
        return None;
    }
    let own = WordShares::of(what.examples.iter().flat_map(|row| &row.references));
    let is_foreign = |output: &&String| foreign.iter().any(|format| format.has(output, &own));
    let count = outputs.iter().filter(is_foreign).count();
    Some(100.0 * count as f64 / outputs.len() as f64)
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
