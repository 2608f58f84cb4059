//! The drift monitor: prompts of foreign tasks, answered while a stage is tuned (paper figures 1 and 2).

use std::fs;
use std::path::PathBuf;

use promot_core::{Event, write_atomically};
use promot_model::arch::Model;
use promot_model::graph::Var;
use promot_model::train::{EndedEarly, InTraining, Observed, TrainingBackend, Tune};
use serde::{Deserialize, Serialize};

use super::eval::format::{TargetFormat, format_share, formats_of};
use super::eval::measured::Measured;
use super::foreign::{answered, foreign_prompts};
use super::inputs::TunedTask;
use super::training::Work;
use crate::plan::{DriftParams, StopWhen};
use crate::report::DriftRecord;
use crate::run::{LoadedModel, RunError};

/// What a monitored stage leaves: `drift.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DriftFile {
    /// What was seen, in the order of the steps.
    pub(crate) records: Vec<DriftRecord>,
    /// Where and why tuning ended, if before its last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_early: Option<EndedEarly>,
}

/// Answers foreign prompts with what is tuned.
pub(super) struct DriftMonitor<'a, B: TrainingBackend> {
    params: &'a DriftParams,
    work: &'a Work<'a, B>,
    model: &'a LoadedModel<B>,
    tasks: Vec<Measured>,
    /// What answers to the tuned tasks look like.
    formats: Vec<TargetFormat>,
    attached: Attached,
    /// Whether only what is attached is tuned: then answers without it stay as they are.
    model_is_frozen: bool,
    /// What was seen so far, also by an interrupted run.
    records: Vec<DriftRecord>,
}

/// What all inputs of a stage are read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attached {
    Nothing,
    /// The soft prompt of this index.
    Prompt(usize),
    Lora,
}

impl<'a, B: TrainingBackend> DriftMonitor<'a, B> {
    /// A monitor that remembers what an interrupted run saw.
    pub(super) fn new(
        params: &'a DriftParams,
        work: &'a Work<'a, B>,
        model: &'a LoadedModel<B>,
        tuned: &[TunedTask],
        has_lora: bool,
        tune: Tune,
    ) -> Result<Self, RunError> {
        let targets = tuned
            .iter()
            .map(|tuned| (&tuned.rows.task, &*tuned.rows.train));
        let attached = match tuned.first().and_then(|first| first.prompt) {
            _ if has_lora => Attached::Lora,
            // A mix has no prompt that is everybody's.
            Some(index) if tuned.iter().all(|tuned| tuned.prompt == Some(index)) => {
                Attached::Prompt(index)
            }
            _ => Attached::Nothing,
        };
        let mut monitor = Self {
            params,
            work,
            model,
            tasks: foreign_prompts(&params.on, work.context.plan)?,
            formats: formats_of(targets),
            attached,
            model_is_frozen: matches!(tune, Tune::Prompts | Tune::Lora),
            records: Vec::new(),
        };
        if let Ok(bytes) = fs::read(monitor.path()) {
            monitor.records = serde_json::from_slice(&bytes).unwrap_or_default();
        }
        Ok(monitor)
    }

    /// What has been seen, and where and why tuning ended early.
    pub(super) fn into_file(self, ended_early: Option<EndedEarly>) -> DriftFile {
        DriftFile {
            records: self.records,
            ended_early,
        }
    }

    /// Answers all prompts, unless an interrupted run did so after as many steps; `None` if asked to stop.
    pub(super) fn observe(
        &mut self,
        seen: &InTraining<'_, B>,
    ) -> Result<Option<Observed>, RunError> {
        if !self.records.iter().any(|record| record.step == seen.step) {
            let Some(records) = self.look(seen)? else {
                return Ok(None);
            };
            self.records.extend(records);
            let json = serde_json::to_vec(&self.records).expect("plain data serialises");
            let path = self.path();
            write_atomically(&path, &json).map_err(|error| RunError::io(&path, error))?;
            let (score, format_share) = self.deciding(seen.step);
            self.work.context.events.emit(Event::Drift {
                stage: self.work.stage.name.clone(),
                step: seen.step,
                score,
                format_share,
            });
        }
        let reason = self.params.stop_when.and_then(|stop| {
            let (before, _) = self.deciding(0);
            let (score, share) = self.deciding(seen.step);
            reason_to_stop(stop, before, score, share)
        });
        let is_later = seen.step > 0;
        Ok(Some(match reason.filter(|_| is_later) {
            Some(reason) => Observed::Enough(reason),
            None => Observed::GoOn,
        }))
    }

    /// The mean score after `step` steps, and the mean share of answers in the target's format: of answers
    /// without what is attached, as foreign tasks are measured, unless nothing else is tuned.
    fn deciding(&self, step: u64) -> (f64, Option<f64>) {
        let records = self.records.iter();
        let deciding = records.filter(|r| r.step == step && r.with_prompt == self.model_is_frozen);
        let deciding: Vec<&DriftRecord> = deciding.collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let scores: Vec<f64> = deciding.iter().map(|record| record.score).collect();
        let shares: Vec<f64> = deciding.iter().filter_map(|r| r.format_share).collect();
        let share = (!shares.is_empty()).then(|| mean(&shares));
        (mean(&scores), share)
    }

    fn look(&self, seen: &InTraining<'_, B>) -> Result<Option<Vec<DriftRecord>>, RunError> {
        let mut records = Vec::new();
        for what in &self.tasks {
            for with_prompt in [false, true] {
                if with_prompt && self.attached == Attached::Nothing {
                    continue;
                }
                let before = self.records.iter().find(|record| {
                    record.task == what.task.name() && record.with_prompt == with_prompt
                });
                if let Some(before) = before.filter(|_| self.model_is_frozen && !with_prompt) {
                    records.push(DriftRecord {
                        step: seen.step,
                        ..before.clone()
                    });
                    continue;
                }
                let (model, prompt) = match (with_prompt, self.attached) {
                    (true, Attached::Prompt(index)) => (seen.model, Some(&seen.prompts[index])),
                    (true, Attached::Lora) => (seen.adapted, None),
                    _ => (seen.model, None),
                };
                let Some(record) = self.record(seen.step, what, with_prompt, model, prompt)? else {
                    return Ok(None);
                };
                records.push(record);
            }
        }
        Ok(Some(records))
    }

    fn record(
        &self,
        step: u64,
        what: &Measured,
        with_prompt: bool,
        model: &Model<B>,
        prompt: Option<&Var<B>>,
    ) -> Result<Option<DriftRecord>, RunError> {
        let (tokenizer, stop) = (&self.model.tokenizer, self.work.context.stop);
        let limit = self.params.on.max_new_tokens;
        let Some((outputs, score)) = answered(what, model, prompt, tokenizer, limit, stop)? else {
            return Ok(None);
        };
        Ok(Some(DriftRecord {
            step,
            task: what.task.name().to_owned(),
            with_prompt,
            rows: what.examples.len(),
            score,
            format_share: format_share(what, &self.formats, &outputs),
        }))
    }

    fn path(&self) -> PathBuf {
        self.work.directory.work().join("drift.json")
    }
}

/// Why tuning ends, if it does.
fn reason_to_stop(stop: StopWhen, before: f64, score: f64, share: Option<f64>) -> Option<String> {
    if let (Some(limit), Some(share)) = (stop.format_share, share)
        && share >= limit
    {
        return Some(format!(
            "{share:.1}% of the answers to foreign prompts are in the target's format \
             (format_share: {limit})"
        ));
    }
    let limit = stop.score_below?;
    (score < limit / 100.0 * before).then(|| {
        format!(
            "the score of foreign prompts fell from {before:.1} to {score:.1} (score_below: {limit})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(format_share: Option<f64>, score_below: Option<f64>) -> StopWhen {
        StopWhen {
            format_share,
            score_below,
        }
    }

    #[test]
    fn tuning_ends_as_soon_as_one_limit_is_reached() {
        let both = stop(Some(50.0), Some(80.0));
        let ends = |score, share| reason_to_stop(both, 20.0, score, share).is_some();
        assert!(!ends(20.0, Some(0.0)));
        assert!(!ends(16.0, Some(49.9)));
        assert!(ends(20.0, Some(50.0)));
        assert!(ends(15.9, Some(0.0)));
        assert!(ends(15.9, None));
        assert!(!ends(16.0, None));
    }

    #[test]
    fn what_is_not_asked_for_ends_nothing() {
        assert_eq!(
            reason_to_stop(stop(None, Some(50.0)), 0.0, 0.0, Some(100.0)),
            None
        );
        assert_eq!(
            reason_to_stop(stop(Some(50.0), None), 90.0, 0.0, Some(10.0)),
            None
        );
    }
}
