//! What a pipeline will cost, before it does: its rows through the real tokenizer, and a rehearsal of all
//! its stages with a few steps and rows.

mod clock;
mod cost;
mod memory;
mod rehearsal;
mod text;
mod tokens;

pub use cost::{StageCost, StageTime};
pub use memory::{free_disk, total_memory};
pub use text::terminal;
pub use tokens::{Lengths, TokenFacts, token_facts};

use std::path::Path;

use promot_core::{EventSink, StopFlag};
use promot_model::train::TrainingBackend;
use serde::Serialize;

use crate::plan::Plan;
use crate::run::{RunError, Store};

/// How small a rehearsal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RehearsalSize {
    /// Optimizer steps of each training stage at most.
    pub steps: u64,
    /// Rows of each measured task at most.
    pub rows: usize,
}

impl Default for RehearsalSize {
    fn default() -> Self {
        Self { steps: 8, rows: 32 }
    }
}

/// What a rehearsal found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preflight {
    /// How long rows are, for each training stage and task.
    pub tokens: Vec<TokenFacts>,
    /// What each stage will cost, those that are in the store already included.
    pub stages: Vec<StageCost>,
    /// The most memory that the process had in use, in bytes, if the system tells.
    pub peak_memory: Option<u64>,
    /// Bytes that the artifacts of stages to run will take, with room for the largest work directory.
    pub disk: u64,
}

impl Preflight {
    /// Seconds that the stages to run will take.
    pub fn seconds(&self) -> f64 {
        let to_run = self.stages.iter().filter(|stage| !stage.is_cached);
        to_run.map(|stage| stage.time.total()).sum()
    }
}

/// Rehearses a plan in the directory `scratch`, which has to be empty and is filled; `store` is only
/// asked what it has.
///
/// # Errors
/// As [`crate::run::run`].
pub fn preflight<B: TrainingBackend>(
    plan: &Plan,
    device: &B,
    store: &Store,
    scratch: &Path,
    size: RehearsalSize,
    events: &dyn EventSink,
    stop: &StopFlag,
) -> Result<Preflight, RunError> {
    let tokens = token_facts(plan, device)?;
    memory::reset_peak();
    let rehearsed = rehearsal::rehearse(plan, device, scratch, size, events, stop)?;
    let peak_memory = memory::peak();
    let stages = cost::costs(plan, &rehearsed, store)?;
    let to_run = || stages.iter().filter(|stage| !stage.is_cached);
    let artifacts: u64 = to_run().map(|stage| stage.artifact_bytes).sum();
    let work = to_run().map(|stage| stage.work_bytes).max().unwrap_or(0);
    Ok(Preflight {
        tokens,
        disk: artifacts + work,
        stages,
        peak_memory,
    })
}
