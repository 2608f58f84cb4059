//! Checkpoints of a run: how far it is, and the files it can go on from.
//!
//! `step-N.safetensors` holds the tuned tensors, the optimizer's state and, in its metadata, the
//! progress: one file, so that it is whole or not there. `best-N.safetensors` holds the tuned
//! tensors of the best checkpoint. It is written before the step file that mentions it, and older
//! files are removed after, so that a kill at any moment leaves a consistent pair.

use std::fs;
use std::path::{Path, PathBuf};

use promot_core::{PARTIAL_SUFFIX, write_atomically};
use serde::{Deserialize, Serialize};

use super::TrainOptions;
use super::error::TrainError;
use super::measure::Measurement;
use super::tunables::Tunables;
use crate::backend::Backend;
use crate::checkpoint::{
    CheckpointError, NamedTensors, parse_tensors, read_note, serialize_f32_with_note,
};
use crate::optim;

/// A saved checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Steps done.
    pub step: u64,
    /// The mean loss of the steps since the checkpoint before, in nats.
    pub loss: f64,
    /// The target task's metric on the rows held out for selection, in [0, 100].
    pub value: Option<f64>,
    /// The score of tasks that are not tuned for, in [0, 100], if it is part of the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<f64>,
    /// What decides between checkpoints, if that is not `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<f64>,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Steps done.
    pub(super) step: u64,
    history: Vec<CheckpointRecord>,
    best: Option<usize>,
    loss_sum: f64,
    loss_steps: u64,
}

impl Progress {
    pub(super) fn add_loss(&mut self, loss: f64) {
        self.loss_sum += loss;
        self.loss_steps += 1;
    }

    /// Whether a checkpoint has to be measured now.
    pub(super) fn is_due(&self, options: &TrainOptions, is_last: bool) -> bool {
        let at_cadence = self.step.is_multiple_of(options.checkpoint_every) || is_last;
        self.step > 0 && at_cadence && self.history.last().is_none_or(|last| last.step < self.step)
    }

    /// Adds a checkpoint; returns whether it is the best so far. Without a measure the newest is.
    pub(super) fn record(&mut self, measurement: Option<Measurement>) -> bool {
        let loss = self.loss_sum / self.loss_steps.max(1) as f64;
        (self.loss_sum, self.loss_steps) = (0.0, 0);
        self.history.push(CheckpointRecord {
            step: self.step,
            loss,
            value: measurement.map(|measured| measured.target),
            foreign: measurement.and_then(|measured| measured.foreign),
            choice: measurement
                .map(|measured| measured.choice)
                .filter(|choice| Some(*choice) != measurement.map(|measured| measured.target)),
        });
        let choice = |record: &CheckpointRecord| record.choice.or(record.value);
        let best_choice = self.best.and_then(|best| choice(&self.history[best]));
        let is_best = match (measurement, best_choice) {
            (Some(measured), Some(best)) => measured.choice > best,
            _ => true,
        };
        if is_best {
            self.best = Some(self.history.len() - 1);
        }
        is_best
    }

    pub(super) fn best_step(&self) -> Option<u64> {
        self.best.map(|best| self.history[best].step)
    }

    pub(super) fn into_history(self) -> Vec<CheckpointRecord> {
        self.history
    }
}

/// The checkpoint directory of one run.
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Opens a directory, making it if need be, and removes half-written files.
    pub(super) fn open(directory: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(directory).map_err(|error| io(directory, error))?;
        let files = Self {
            directory: directory.to_owned(),
        };
        for (path, name) in files.list()? {
            if name.ends_with(PARTIAL_SUFFIX) {
                fs::remove_file(&path).map_err(|error| io(&path, error))?;
            }
        }
        Ok(files)
    }

    /// The progress and tensors of the newest checkpoint, if there is one.
    pub(super) fn newest(&self) -> Result<Option<(Progress, NamedTensors)>, CheckpointError> {
        let Some(step) = self.steps("step-")?.into_iter().max() else {
            return Ok(None);
        };
        let path = self.path("step-", step);
        let bytes = fs::read(&path).map_err(|error| io(&path, error))?;
        let tensors = parse_tensors(&bytes).map_err(|error| error.in_file(&path))?;
        let note = read_note(&bytes).map_err(|error| error.in_file(&path))?;
        let progress = serde_json::from_str(&note)
            .map_err(|error| CheckpointError::Json(error.to_string()).in_file(&path))?;
        Ok(Some((progress, tensors)))
    }

    /// Saves all that is needed to go on from here.
    pub(super) fn save<B: Backend + optim::Kernels>(
        &self,
        progress: &Progress,
        tunables: &Tunables<B>,
    ) -> Result<(), TrainError> {
        let note = serde_json::to_string(progress).expect("plain data serialises");
        let tensors = checked_tensors(tunables, true)?;
        self.write("step-", progress.step, &tensors, &note)?;
        self.remove_others("step-", Some(progress.step))?;
        self.remove_others("best-", progress.best_step())?;
        Ok(())
    }

    /// Saves the tuned tensors of the best checkpoint.
    pub(super) fn save_best<B: Backend + optim::Kernels>(
        &self,
        progress: &Progress,
        tunables: &Tunables<B>,
    ) -> Result<(), TrainError> {
        let tensors = checked_tensors(tunables, false)?;
        self.write("best-", progress.step, &tensors, "")?;
        Ok(())
    }

    /// The tuned tensors of the best checkpoint.
    pub(super) fn best(&self, step: u64) -> Result<NamedTensors, CheckpointError> {
        let path = self.path("best-", step);
        let bytes = fs::read(&path).map_err(|error| io(&path, error))?;
        parse_tensors(&bytes).map_err(|error| error.in_file(&path))
    }

    fn write(
        &self,
        kind: &str,
        step: u64,
        tensors: &NamedTensors,
        note: &str,
    ) -> Result<(), CheckpointError> {
        let path = self.path(kind, step);
        let bytes = serialize_f32_with_note(tensors, note)?;
        write_atomically(&path, &bytes).map_err(|error| io(&path, error))
    }

    fn path(&self, kind: &str, step: u64) -> PathBuf {
        self.directory.join(format!("{kind}{step}.safetensors"))
    }

    fn remove_others(&self, kind: &str, keep: Option<u64>) -> Result<(), CheckpointError> {
        for step in self.steps(kind)? {
            if Some(step) != keep {
                let path = self.path(kind, step);
                fs::remove_file(&path).map_err(|error| io(&path, error))?;
            }
        }
        Ok(())
    }

    fn steps(&self, kind: &str) -> Result<Vec<u64>, CheckpointError> {
        let step = |name: &str| {
            name.strip_prefix(kind)?
                .strip_suffix(".safetensors")?
                .parse()
                .ok()
        };
        Ok(self
            .list()?
            .iter()
            .filter_map(|(_, name)| step(name))
            .collect())
    }

    fn list(&self) -> Result<Vec<(PathBuf, String)>, CheckpointError> {
        let entries = fs::read_dir(&self.directory).map_err(|error| io(&self.directory, error))?;
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io(&self.directory, error))?;
            files.push((
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            ));
        }
        Ok(files)
    }
}

/// The tensors, if the device has not failed: what it gives after that is not saved.
fn checked_tensors<B: Backend + optim::Kernels>(
    tunables: &Tunables<B>,
    states: bool,
) -> Result<NamedTensors, TrainError> {
    let tensors = tunables.to_tensors(states);
    tunables.model.device().check()?;
    Ok(tensors)
}

fn io(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Io {
        path: path.to_owned(),
        source,
    }
}
