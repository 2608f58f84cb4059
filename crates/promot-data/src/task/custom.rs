//! Tasks that users define: a template, a target, and how answers are judged.

use promot_core::MetricKind;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{AnswerFormat, Rendered, Task, Template};
use crate::metric::is_one_word;
use crate::postprocess;
use crate::record::{FieldError, Record};
use crate::split::Split;

/// What a user says about a task. Serialised it is what determines the task's prompts and scores,
/// so that it can be part of a key; the names for people are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskDefinition {
    /// The name in pipeline files.
    #[serde(skip)]
    pub name: String,
    /// The name in tables.
    #[serde(skip)]
    pub title: String,
    /// The prompt.
    #[serde(serialize_with = "as_written")]
    pub template: Template,
    /// The answer to learn.
    #[serde(serialize_with = "as_written")]
    pub target: Template,
    /// By field the word that stands for each value, in the order of the file.
    pub verbalizer: Vec<(String, Vec<(String, String)>)>,
    /// A field with a list of texts, each of which is right, too.
    pub references: Option<String>,
    /// What is measured.
    pub metric: MetricKind,
    /// The split that is evaluated on.
    pub evaluation_split: Split,
    /// Longer inputs are cut to so many tokens.
    pub max_input_tokens: Option<usize>,
}

fn as_written<S: Serializer>(template: &Template, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(template)
}

/// A definition that makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TaskProblem {
    /// Words for a field that no prompt and no answer has.
    #[error("field `{field}` is neither in the template nor in the target")]
    UnusedField {
        /// The field.
        field: String,
    },
    /// A label that no answer can be equal to.
    #[error("`{label}` is not one word, and accuracy compares the first word of an answer")]
    NotOneWord {
        /// The label's field.
        field: String,
        /// The label.
        label: String,
    },
}

impl TaskProblem {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnusedField { .. } => None,
            Self::NotOneWord { .. } => {
                Some("choose single words of letters and digits, or the metric exact_match")
            }
        }
    }

    /// The field whose words are the problem.
    pub fn field(&self) -> &str {
        match self {
            Self::UnusedField { field } | Self::NotOneWord { field, .. } => field,
        }
    }
}

/// A task that a user defined.
#[derive(Clone, Debug)]
pub struct CustomTask {
    definition: TaskDefinition,
    /// The words that answers consist of, if those of a verbalizer.
    labels: Vec<String>,
}

impl CustomTask {
    /// The task with this definition.
    ///
    /// # Errors
    /// All that makes no sense in the verbalizer.
    pub fn new(definition: TaskDefinition) -> Result<Self, Vec<TaskProblem>> {
        let (input, target) = (definition.template.fields(), definition.target.fields());
        let mut problems = Vec::new();
        let mut labels: Vec<String> = Vec::new();
        for (field, words) in &definition.verbalizer {
            let is_answer = target.contains(&field.as_str());
            if !is_answer && !input.contains(&field.as_str()) {
                let field = field.clone();
                problems.push(TaskProblem::UnusedField { field });
            }
            for (_, word) in words.iter().filter(|_| is_answer) {
                if definition.metric == MetricKind::Accuracy && !is_one_word(word) {
                    problems.push(TaskProblem::NotOneWord {
                        field: field.clone(),
                        label: word.clone(),
                    });
                }
                if !labels.contains(word) {
                    labels.push(word.clone());
                }
            }
        }
        if problems.is_empty() {
            Ok(Self { definition, labels })
        } else {
            Err(problems)
        }
    }

    /// What the user said.
    pub fn definition(&self) -> &TaskDefinition {
        &self.definition
    }

    /// The value of a field, or the word that stands for it.
    fn word(&self, record: &Record, field: &str) -> Result<String, FieldError> {
        let value = record.written(field)?;
        let verbalizer = self.definition.verbalizer.iter();
        let Some((_, words)) = verbalizer.into_iter().find(|(of, _)| of == field) else {
            return Ok(value);
        };
        match words.iter().find(|(of, _)| *of == value) {
            Some((_, word)) => Ok(word.clone()),
            None => {
                let known: Vec<&str> = words.iter().map(|(value, _)| value.as_str()).collect();
                Err(FieldError {
                    problem: format!("field {field:?}: the verbalizer has no word for {value:?}"),
                    hint: Some(format!("it has words for {}", known.join(", "))),
                })
            }
        }
    }

    /// What another example begins with, where that is a word and a colon; other beginnings may
    /// well be part of an answer.
    fn next_example(&self) -> Option<&str> {
        let start = self.definition.template.start().trim();
        start.ends_with(':').then_some(start)
    }
}

impl Task for CustomTask {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn title(&self) -> &str {
        &self.definition.title
    }

    fn fields(&self) -> Vec<&str> {
        let mut fields = self.definition.template.fields();
        let others = self.definition.target.fields().into_iter();
        for field in others.chain(self.definition.references.as_deref()) {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        fields
    }

    fn metric(&self) -> MetricKind {
        self.definition.metric
    }

    fn answer_format(&self) -> AnswerFormat {
        if self.labels.is_empty() {
            AnswerFormat::Text
        } else {
            AnswerFormat::Labels(self.labels.clone())
        }
    }

    fn evaluation_split(&self) -> Split {
        self.definition.evaluation_split
    }

    fn max_input_tokens(&self) -> Option<usize> {
        self.definition.max_input_tokens
    }

    fn render(&self, record: &Record) -> Result<Rendered, FieldError> {
        let fill = |template: &Template| template.fill(|field| self.word(record, field));
        let target = fill(&self.definition.target)?;
        let mut rendered = Rendered::single(fill(&self.definition.template)?, target.trim());
        if rendered.target.is_empty() {
            return Err(FieldError {
                problem: format!("the target {} is empty", self.definition.target),
                hint: Some("leave rows without an answer out".to_owned()),
            });
        }
        if let Some(field) = &self.definition.references {
            for reference in record.list(field)? {
                if !rendered.references.contains(&reference) {
                    rendered.references.push(reference);
                }
            }
        }
        let can_be_right = rendered.references.iter().any(|answer| is_one_word(answer));
        if self.metric() == MetricKind::Accuracy && !can_be_right {
            return Err(FieldError {
                problem: format!(
                    "the target {:?} is not one word, and accuracy compares the first word of an \
                     answer",
                    rendered.target
                ),
                hint: Some("use a verbalizer, or the metric exact_match".to_owned()),
            });
        }
        Ok(rendered)
    }

    fn post_process<'a>(&self, output: &'a str) -> &'a str {
        // Worked examples are an empty line apart.
        let prefixes: Vec<&str> = self.next_example().into_iter().chain(["\n\n"]).collect();
        let answer = postprocess::answer_before(output.trim_start(), &prefixes);
        match self.metric() {
            MetricKind::Accuracy => postprocess::first_word_of(answer),
            MetricKind::ExactMatch | MetricKind::Bleu | MetricKind::Rouge2 => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(template: &str, target: &str, metric: MetricKind) -> TaskDefinition {
        TaskDefinition {
            name: "mine".to_owned(),
            title: "Mine".to_owned(),
            template: Template::parse(template).unwrap(),
            target: Template::parse(target).unwrap(),
            verbalizer: Vec::new(),
            references: None,
            metric,
            evaluation_split: Split::Test,
            max_input_tokens: None,
        }
    }

    fn words(field: &str, words: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let owned = |(value, word): &(&str, &str)| ((*value).to_owned(), (*word).to_owned());
        (field.to_owned(), words.iter().map(owned).collect())
    }

    fn record(fields: serde_json::Value) -> Record {
        Record::new("row", fields.as_object().unwrap().clone())
    }

    #[test]
    fn labels_come_from_the_verbalizer() {
        let mut definition = definition("Review: {text} Good?", "{label}", MetricKind::Accuracy);
        definition.verbalizer = vec![words(
            "label",
            &[("1", "good"), ("0", "bad"), ("2", "good")],
        )];
        let task = CustomTask::new(definition).unwrap();
        assert_eq!(task.fields(), ["text", "label"]);
        assert_eq!(task.answer_format(), AnswerFormat::labels(&["good", "bad"]));
        for label in [json!(1), json!("1")] {
            let rendered = task
                .render(&record(json!({"text": "T.", "label": label})))
                .unwrap();
            assert_eq!(rendered.input, "Review: T. Good?");
            assert_eq!(rendered.target, "good");
            assert_eq!(rendered.references, ["good"]);
        }
        let error = task
            .render(&record(json!({"text": "T.", "label": 3})))
            .unwrap_err();
        assert_eq!(
            error.problem,
            "field \"label\": the verbalizer has no word for \"3\""
        );
        assert_eq!(error.hint.as_deref(), Some("it has words for 1, 0, 2"));
        assert_eq!(task.post_process(" good. Review: x"), "good");
    }

    #[test]
    fn every_reference_counts_and_the_target_first() {
        let mut definition = definition("{question}", "{answer}", MetricKind::ExactMatch);
        definition.references = Some("aliases".to_owned());
        let task = CustomTask::new(definition).unwrap();
        assert_eq!(task.fields(), ["question", "answer", "aliases"]);
        let row = json!({"question": "q", "answer": "a b", "aliases": ["c", "a b"]});
        assert_eq!(task.render(&record(row)).unwrap().references, ["a b", "c"]);
        let row = json!({"question": "q", "answer": "a b", "aliases": []});
        assert_eq!(task.render(&record(row)).unwrap().references, ["a b"]);
        let row = json!({"question": "q", "answer": " ", "aliases": ["c"]});
        let error = task.render(&record(row)).unwrap_err();
        assert_eq!(error.problem, "the target {answer} is empty");
        assert_eq!(task.answer_format(), AnswerFormat::Text);
        // Only a beginning with a colon ends an answer, and an empty line does.
        assert_eq!(task.post_process("\na b\n\nq"), "a b");
    }

    #[test]
    fn what_accuracy_can_never_find_is_refused() {
        let task = CustomTask::new(definition("{a}", "{b}", MetricKind::Accuracy)).unwrap();
        let error = task
            .render(&record(json!({"a": "x", "b": "two words"})))
            .unwrap_err();
        assert_eq!(
            error.problem,
            "the target \"two words\" is not one word, and accuracy compares the first word of an \
             answer"
        );
        let mut bad = definition("{a}", "{b}", MetricKind::Accuracy);
        bad.verbalizer = vec![words("b", &[("1", "very good")]), words("c", &[("1", "x")])];
        assert_eq!(
            CustomTask::new(bad.clone()).unwrap_err(),
            [
                TaskProblem::NotOneWord {
                    field: "b".to_owned(),
                    label: "very good".to_owned()
                },
                TaskProblem::UnusedField {
                    field: "c".to_owned()
                },
            ]
        );
        bad.metric = MetricKind::ExactMatch;
        bad.verbalizer.pop();
        let task = CustomTask::new(bad).unwrap();
        assert_eq!(task.post_process("very good!"), "very good!");
    }
}
