//! `validate`, `plan` and `graph`: looks at a pipeline without running it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use promot_pipeline::plan::{Staleness, staleness};
use promot_pipeline::run::{Store, check_inputs};

use super::args::{GraphArgs, GraphFormat, PipelineArgs, StoredArgs};
use super::failure::Failure;
use super::load::{describe, load_points};
use super::output::{print, tell};

/// Checks the file and every file that it names.
pub(crate) fn validate(args: &PipelineArgs) -> Result<(), Failure> {
    let points = load_points(args)?;
    for point in &points {
        check_inputs(&point.plan)?;
    }
    let stages = points[0].plan.stages().len();
    let matrix = match points.len() {
        1 => String::new(),
        points => format!(" at {points} points of the matrix"),
    };
    print(&format!(
        "{}: {stages} stages{matrix}, nothing wrong\n",
        args.file.display(),
    ))
}

/// Says for each stage whether it would run, and why.
pub(crate) fn plan(args: &StoredArgs) -> Result<(), Failure> {
    let points = load_points(&args.pipeline)?;
    if let Some(note) = &points[0].plan.device.note {
        tell(note);
    }
    let store = Store::new(&args.store);
    let stages = || points.iter().flat_map(|point| point.plan.stages());
    let width = stages().map(|stage| stage.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    // What several points share runs once.
    let mut seen = BTreeSet::new();
    let (mut to_run, mut cached) = (0, 0);
    for point in &points {
        if points.len() > 1 {
            let _ = writeln!(text, "{}", describe(&point.settings));
        }
        for stage in point.plan.stages() {
            let is_new = seen.insert(stage.key);
            let directory = store.stage(stage);
            let last = store.last_facts(&point.plan, stage);
            let state = match staleness(stage, directory.is_finished(), last.as_ref()) {
                _ if !is_new => "shared with a point above".to_owned(),
                Staleness::Cached => {
                    cached += 1;
                    format!("cached  {}", directory.artifact().display())
                }
                Staleness::Run(reasons) => {
                    to_run += 1;
                    format!("run     {}", reasons.join("; "))
                }
            };
            let (name, kind) = (&stage.name, stage.kind.name());
            let _ = writeln!(text, "{name:width$}  {kind:13}  {state}");
        }
    }
    let _ = writeln!(text, "{to_run} to run, {cached} cached");
    print(&text)
}

/// Draws the stages.
pub(crate) fn graph(args: &GraphArgs) -> Result<(), Failure> {
    // All points have the same stages.
    let plan = load_points(&args.pipeline)?.remove(0).plan;
    print(&match args.format {
        GraphFormat::Dot => plan.to_dot(),
        GraphFormat::Mermaid => plan.to_mermaid(),
    })
}
