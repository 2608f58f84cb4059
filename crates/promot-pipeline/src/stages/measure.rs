//! Answers of a model on prompts, and their score.

use promot_core::{Example, Ragged, StopFlag};
use promot_data::metric::{Judged, Score, score};
use promot_data::task::Task;
use promot_data::tokenizer::Tokenizer;
use promot_data::training::Truncation;
use promot_model::arch::Model;
use promot_model::backend::DeviceError;
use promot_model::generate::GenerateOptions;
use promot_model::graph::Var;
use promot_model::train::TrainingBackend;

use crate::run::RunError;

/// Rows that are decoded together: bounds memory, and how often a stop is looked for.
const ROWS_AT_ONCE: usize = 64;
/// The same in tokens of their inputs; a longer input is decoded alone.
const TOKENS_AT_ONCE: usize = 16 * 1024;

/// A model's raw answer to each prompt; `None` if asked to stop, an error if its device fails.
pub(super) fn answers<B: TrainingBackend>(
    model: &Model<B>,
    tokenizer: &Tokenizer,
    task: &dyn Task,
    examples: &[Example],
    prompt: Option<&Var<B>>,
    options: &GenerateOptions,
    stop: &StopFlag,
) -> Result<Option<(Vec<String>, u64)>, DeviceError> {
    let truncation = Truncation::default();
    let options = GenerateOptions {
        ends: tokenizer.answer_ends().into(),
        ..options.clone()
    };
    let prompts: Vec<Var<B>> = prompt.into_iter().cloned().collect();
    let prompt_of = prompt.map(|_| 0);
    let inputs = examples.iter().map(|example| {
        let ids = tokenizer.encode_input(&example.input);
        truncation.apply(ids, task.max_input_tokens())
    });
    let inputs: Vec<Vec<u32>> = inputs.collect();
    let mut answers = Vec::with_capacity(examples.len());
    let mut rest = inputs.as_slice();
    while !rest.is_empty() {
        if stop.is_requested() {
            return Ok(None);
        }
        let (now, later) = rest.split_at(count_at_once(rest));
        rest = later;
        let batch = Ragged::from_rows(now.iter().map(Vec::as_slice));
        let outputs = model.generate(&batch, &prompts, &vec![prompt_of; now.len()], &options);
        // What a device that has failed answers is no answer.
        model.device().check()?;
        answers.extend(outputs.iter().map(|ids| tokenizer.decode(ids)));
    }
    Ok(Some((answers, truncation.count())))
}

/// How many of the next inputs are decoded together, at least one.
fn count_at_once(inputs: &[Vec<u32>]) -> usize {
    let mut tokens = 0;
    let fits = |input: &&Vec<u32>| {
        tokens += input.len();
        tokens <= TOKENS_AT_ONCE
    };
    let count = inputs.iter().take(ROWS_AT_ONCE).take_while(fits).count();
    count.max(1)
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
