//! Foreign prompts that have a say in which checkpoint a stage takes.

use promot_core::StopFlag;
use promot_data::tokenizer::Tokenizer;
use promot_model::arch::Model;
use promot_model::train::{Measurement, TrainingBackend};

use super::eval::measured::Measured;
use super::foreign::{answered, foreign_prompts};
use super::training::Work;
use crate::plan::{SelectBy, SelectParams};
use crate::run::{LoadedModel, RunError};

/// What `select` asks for, with its prompts.
pub(super) struct Selection<'a> {
    params: &'a SelectParams,
    tasks: Vec<Measured>,
    tokenizer: &'a Tokenizer,
    stop: &'a StopFlag,
}

impl<'a> Selection<'a> {
    pub(super) fn new<B: TrainingBackend>(
        params: &'a SelectParams,
        work: &Work<'a, B>,
        model: &'a LoadedModel<B>,
    ) -> Result<Self, RunError> {
        Ok(Self {
            params,
            tasks: foreign_prompts(&params.on, work.context.plan)?,
            tokenizer: &model.tokenizer,
            stop: work.context.stop,
        })
    }

    /// What decides, where the target's score is `target`; `None` if asked to stop.
    pub(super) fn measure<B: TrainingBackend>(
        &self,
        target: f64,
        model: &Model<B>,
    ) -> Option<Measurement> {
        let mut total = 0.0;
        for what in &self.tasks {
            let limit = self.params.on.max_new_tokens;
            // Training asks the device itself and tells why it failed.
            let answered = answered(what, model, None, self.tokenizer, limit, self.stop);
            let (_, score) = answered.ok()??;
            total += score;
        }
        let foreign = total / self.tasks.len() as f64;
        let choice = match self.params.by {
            SelectBy::NormalizedAverage => foreign,
            SelectBy::Frontier => 0.5 * (target + foreign),
        };
        Some(Measurement {
            target,
            foreign: Some(foreign),
            choice,
        })
    }
}
