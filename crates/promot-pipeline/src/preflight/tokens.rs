//! Rows through the real tokenizer: how long they are, what is cut, and labels that no answer can be.

use promot_core::Example;
use promot_data::fewshot::FewShot;
use promot_data::tokenizer::Tokenizer;
use promot_model::backend::Host;
use promot_model::train::TrainingBackend;
use serde::Serialize;

use crate::plan::Plan;
use crate::run::{LoadedModel, RunError, load_base};
use crate::stages::{impossible_labels, shots_seed, training_rows};

/// How long some texts are, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Half of them are at most so long.
    pub median: usize,
    /// 95% of them are at most so long.
    pub most: usize,
    /// The longest.
    pub longest: usize,
}

impl Lengths {
    fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        let at = |share: f64| {
            let index = (share * lengths.len() as f64).ceil() as usize;
            lengths.get(index.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self {
            median: at(0.5),
            most: at(0.95),
            longest: at(1.0),
        }
    }
}

/// The training rows of one task in one training stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenFacts {
    /// The training stage.
    pub stage: String,
    /// The task.
    pub task: String,
    /// Training rows.
    pub rows: usize,
    /// Inputs, with worked examples and before they are cut.
    pub inputs: Lengths,
    /// Targets.
    pub targets: Lengths,
    /// Longer inputs are cut.
    pub limit: Option<usize>,
    /// So many of the inputs are longer.
    pub cut: usize,
    /// Labels that come out of the tokenizer as another text, so that no answer can be one.
    pub impossible_labels: Vec<String>,
}

/// The rows of all training stages, each with one draw of worked examples.
///
/// # Errors
/// If rows or the model cannot be read.
pub fn token_facts<B: TrainingBackend>(plan: &Plan, _: &B) -> Result<Vec<TokenFacts>, RunError> {
    let Some(tokenizer) = tokenizer(plan)? else {
        return Ok(Vec::new());
    };
    let mut facts = Vec::new();
    for stage in plan.stages() {
        let (Some(train), Some(on)) = (stage.kind.train(), stage.kind.tuned_on()) else {
            continue;
        };
        for data in plan.data_of(on) {
            let in_stage = |error: RunError| error.in_stage(&stage.name);
            let rows = training_rows(data, plan).map_err(|error| in_stage(error.into()))?;
            let task = &*rows.task;
            let limit = train.max_input_tokens.or(task.max_input_tokens());
            let few = FewShot::new(task, &rows.train, train.shots, shots_seed(plan.seed));
            let few = few.map_err(|error| {
                RunError::mismatch(error.to_string(), "give the data stage more rows")
            })?;
            let (mut inputs, mut targets) = (Vec::new(), Vec::new());
            for row in &rows.train {
                let example: Example = few.example(row, 0).map_err(|error| {
                    RunError::mismatch(error.to_string(), "mend the row or leave it out")
                })?;
                inputs.push(tokenizer.encode_input(&example.input).len());
                targets.push(tokenizer.encode_target(&example.target).len());
            }
            facts.push(TokenFacts {
                stage: stage.name.clone(),
                task: task.name().to_owned(),
                rows: rows.train.len(),
                cut: limit.map_or(0, |limit| inputs.iter().filter(|&&n| n > limit).count()),
                limit,
                inputs: Lengths::of(inputs),
                targets: Lengths::of(targets),
                impossible_labels: impossible_labels(task, &tokenizer),
            });
        }
    }
    Ok(facts)
}

/// That of the base model; all models of a plan have it, but one that is made from nothing.
fn tokenizer(plan: &Plan) -> Result<Option<std::sync::Arc<Tokenizer>>, RunError> {
    let Some(base) = &plan.base else {
        return Ok(None);
    };
    let LoadedModel { tokenizer, .. } = load_base(base, &Host::with_precision(plan.precision))?;
    Ok(Some(tokenizer))
}

#[cfg(test)]
mod tests {
    use super::Lengths;

    #[test]
    fn quantiles_are_lengths_that_occur() {
        let of = |lengths: &[usize]| {
            let Lengths {
                median,
                most,
                longest,
            } = Lengths::of(lengths.to_vec());
            [median, most, longest]
        };
        assert_eq!(of(&[]), [0, 0, 0]);
        assert_eq!(of(&[7]), [7, 7, 7]);
        assert_eq!(of(&(1..=100).rev().collect::<Vec<_>>()), [50, 95, 100]);
    }
}
