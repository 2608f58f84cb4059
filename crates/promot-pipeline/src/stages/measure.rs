//! Answers of a model on prompts, and their score.

use promot_core::{Example, Ragged, StopFlag};
use promot_data::metric::{Judged, Score, score};
use promot_data::task::Task;
use promot_data::tokenizer::Tokenizer;
use promot_data::training::Truncation;
use promot_model::arch::T5;
use promot_model::backend::Host;
use promot_model::generate::{GenerateOptions, generate};
use promot_model::graph::Var;

use crate::run::RunError;

/// Rows that are decoded together: bounds memory, and how often a stop is looked for.
const ROWS_AT_ONCE: usize = 64;

/// A model's raw answer to each prompt; `None` if asked to stop.
pub(super) fn answers(
    model: &T5<Host>,
    tokenizer: &Tokenizer,
    task: &dyn Task,
    examples: &[Example],
    prompt: Option<&Var<Host>>,
    options: &GenerateOptions,
    stop: &StopFlag,
) -> Option<(Vec<String>, u64)> {
    let truncation = Truncation::default();
    let prompts: Vec<Var<Host>> = prompt.into_iter().cloned().collect();
    let mut answers = Vec::with_capacity(examples.len());
    for rows in examples.chunks(ROWS_AT_ONCE) {
        if stop.is_requested() {
            return None;
        }
        let mut inputs = Ragged::new();
        for example in rows {
            let ids = tokenizer.encode(&example.input);
            inputs.push(&truncation.apply(ids, task.max_input_tokens()));
        }
        let prompt_of = vec![prompt.map(|_| 0); rows.len()];
        let outputs = generate(model, &inputs, &prompts, &prompt_of, options);
        answers.extend(outputs.iter().map(|ids| tokenizer.decode(ids)));
    }
    Some((answers, truncation.count()))
}

/// The task's own metric over answers.
pub(super) fn judge(
    task: &dyn Task,
    examples: &[Example],
    answers: &[String],
) -> Result<Score, RunError> {
    let judged: Vec<Judged> = examples
        .iter()
        .zip(answers)
        .map(|(example, answer)| Judged {
            output: task.post_process(answer).to_owned(),
            references: example.references.clone(),
        })
        .collect();
    Ok(score(task.metric(), &judged)?)
}
