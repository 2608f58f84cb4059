//! The tasks of the paper, one file each: fields, template (Table 7), verbalizer, metric.
//!
//! A task does not know where its rows come from.

mod cb;
mod nli;
mod openbookqa;
mod question;
mod rte;
mod snli;
mod summary;
#[cfg(test)]
mod tests;
mod translation;
mod triviaqa;
mod webquestions;
mod wic;
mod wikilingua_en;
mod wmt14_en_fr;
mod wmt16_en_de;
mod wmt16_en_ro;
mod xsum;

use promot_core::MetricKind;

use crate::postprocess;
use crate::record::{FieldError, Record};
use crate::split::Split;

/// A row as a prompt and its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt.
    pub input: String,
    /// The answer to learn.
    pub target: String,
    /// Every answer that counts as right, `target` among them.
    pub references: Vec<String>,
}

impl Rendered {
    /// A prompt with one right answer.
    fn single(input: String, target: impl Into<String>) -> Self {
        let target = target.into();
        Self {
            input,
            references: vec![target.clone()],
            target,
        }
    }
}

/// What a task's answers look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// One of these words.
    Labels(&'static [&'static str]),
    /// Any text.
    Text,
}

/// A task: how rows become prompts, and how answers are judged.
pub trait Task: Sync {
    /// The name in pipeline files.
    fn name(&self) -> &'static str;
    /// The name in tables.
    fn title(&self) -> &'static str;
    /// The fields that a row must have.
    fn fields(&self) -> &'static [&'static str];
    /// What is measured (paper section 5.1).
    fn metric(&self) -> MetricKind;
    /// What answers look like.
    fn answer_format(&self) -> AnswerFormat;
    /// The split that the paper evaluates on.
    fn evaluation_split(&self) -> Split {
        Split::Test
    }
    /// Longer inputs are cut to so many tokens.
    fn max_input_tokens(&self) -> Option<usize> {
        None
    }
    /// The row as a prompt, without worked examples.
    ///
    /// # Errors
    /// If a field is missing or cannot be used.
    fn render(&self, record: &Record) -> Result<Rendered, FieldError>;

    /// The part of an output that is judged.
    fn post_process<'a>(&self, output: &'a str) -> &'a str {
        match self.answer_format() {
            AnswerFormat::Labels(_) => postprocess::first_word(output),
            AnswerFormat::Text => postprocess::answer(output),
        }
    }
}

/// All tasks. A new one is a file and a line here.
pub fn tasks() -> &'static [&'static dyn Task] {
    &[
        &rte::Rte,
        &cb::Cb,
        &wic::Wic,
        &snli::Snli,
        &openbookqa::OpenBookQa,
        &triviaqa::TriviaQa,
        &webquestions::WebQuestions,
        &wmt14_en_fr::Wmt14EnFr,
        &wmt16_en_de::Wmt16EnDe,
        &wmt16_en_ro::Wmt16EnRo,
        &xsum::XSum,
        &wikilingua_en::WikiLinguaEn,
    ]
}

/// The task called `name`.
pub fn find_task(name: &str) -> Option<&'static dyn Task> {
    tasks().iter().copied().find(|task| task.name() == name)
}
