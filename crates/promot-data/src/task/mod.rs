//! The tasks of the paper, one file each: fields, template (Table 7), verbalizer, metric; and tasks
//! that users define.
//!
//! A task does not know where its rows come from.

mod cb;
mod custom;
mod nli;
mod openbookqa;
mod question;
mod rte;
mod snli;
mod summary;
mod template;
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

use std::fmt;
use std::sync::{Arc, LazyLock};

use promot_core::MetricKind;

pub use custom::{CustomTask, TaskDefinition, TaskProblem};
pub use template::{Template, TemplateError};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// One of these words.
    Labels(Vec<String>),
    /// Any text.
    Text,
}

impl AnswerFormat {
    /// One of `words`.
    fn labels(words: &[&str]) -> Self {
        Self::Labels(words.iter().map(|&word| word.to_owned()).collect())
    }
}

/// A task that can be shared: one of ours, or one that a user defined.
pub type TaskRef = Arc<dyn Task>;

/// A task: how rows become prompts, and how answers are judged.
pub trait Task: Send + Sync {
    /// The name in pipeline files.
    fn name(&self) -> &str;
    /// The name in tables.
    fn title(&self) -> &str;
    /// The fields that a row must have.
    fn fields(&self) -> Vec<&str>;
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

impl fmt::Debug for dyn Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.name())
    }
}

/// Our own tasks. A new one is a file and a line here.
pub fn tasks() -> &'static [TaskRef] {
    static TASKS: LazyLock<[TaskRef; 12]> = LazyLock::new(|| {
        [
            Arc::new(rte::Rte),
            Arc::new(cb::Cb),
            Arc::new(wic::Wic),
            Arc::new(snli::Snli),
            Arc::new(openbookqa::OpenBookQa),
            Arc::new(triviaqa::TriviaQa),
            Arc::new(webquestions::WebQuestions),
            Arc::new(wmt14_en_fr::Wmt14EnFr),
            Arc::new(wmt16_en_de::Wmt16EnDe),
            Arc::new(wmt16_en_ro::Wmt16EnRo),
            Arc::new(xsum::XSum),
            Arc::new(wikilingua_en::WikiLinguaEn),
        ]
    });
    &*TASKS
}

/// Our own task called `name`.
pub fn find_task(name: &str) -> Option<TaskRef> {
    tasks().iter().find(|task| task.name() == name).cloned()
}
