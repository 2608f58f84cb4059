//! A plan run for real with a few steps and rows, in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use promot_core::{EventSink, StopFlag};
use promot_model::train::TrainingBackend;

use super::RehearsalSize;
use super::clock::{Clock, Timed};
use crate::plan::Plan;
use crate::run::{self, Context, RunError, Selection, Store};

/// A rehearsal that is over.
pub(super) struct Rehearsed {
    pub(super) plan: Plan,
    pub(super) size: RehearsalSize,
    /// What each stage took.
    pub(super) timed: BTreeMap<String, Timed>,
    /// Bytes of each stage's artifact, and of a checkpoint that it kept.
    pub(super) bytes: BTreeMap<String, (u64, u64)>,
}

pub(super) fn rehearse<B: TrainingBackend>(
    plan: &Plan,
    device: &B,
    scratch: &Path,
    size: RehearsalSize,
    events: &dyn EventSink,
    stop: &StopFlag,
) -> Result<Rehearsed, RunError> {
    let plan = plan.rehearsal(size.steps, size.rows);
    let store = Store::new(scratch);
    let directory = |name: &str| store.stage(plan.stage(name).expect("a stage of the plan"));
    let work_bytes = |stage: &str| directory_bytes(&directory(stage).work());
    let clock = Clock::new(events, &work_bytes);
    let context = Context {
        plan: &plan,
        device,
        store: &store,
        events: &clock,
        stop,
    };
    run::run(&context, &Selection::default())?;
    let timed = clock.into_timed();
    let bytes = plan.stages().map(|stage| {
        let artifact = store.stage(stage).artifact();
        let kept = directory_bytes(&artifact.join("checkpoints"));
        let rest = directory_bytes(&artifact) - kept;
        (stage.name.clone(), (rest, kept))
    });
    let bytes = bytes.collect();
    Ok(Rehearsed {
        size,
        timed,
        bytes,
        plan,
    })
}

/// All files below a directory; 0 if it is not there.
fn directory_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
