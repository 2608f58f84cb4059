//! `validate`, `plan` and `graph`: looks at a pipeline without running it.

use std::fmt::Write as _;

use promot_pipeline::plan::{Staleness, staleness};
use promot_pipeline::run::{Store, check_inputs};

use super::args::{GraphArgs, GraphFormat, PipelineArgs, StoredArgs};
use super::failure::Failure;
use super::load::load;
use super::output::print;

/// Checks the file and every file that it names.
pub(crate) fn validate(args: &PipelineArgs) -> Result<(), Failure> {
    let plan = load(args)?;
    check_inputs(&plan)?;
    print(&format!(
        "{}: {} stages, nothing wrong\n",
        args.file.display(),
        plan.stages().len()
    ))
}

/// Says for each stage whether it would run, and why.
pub(crate) fn plan(args: &StoredArgs) -> Result<(), Failure> {
    let plan = load(&args.pipeline)?;
    if let Some(note) = &plan.device.note {
        eprintln!("{note}");
    }
    let store = Store::new(&args.store);
    let width = plan.stages().map(|stage| stage.name.len()).max();
    let mut text = String::new();
    let mut to_run = 0;
    for stage in plan.stages() {
        let directory = store.stage(stage);
        let last = store.last_facts(&plan, stage);
        let state = match staleness(stage, directory.is_finished(), last.as_ref()) {
            Staleness::Cached => format!("cached  {}", directory.artifact().display()),
            Staleness::Run(reasons) => {
                to_run += 1;
                format!("run     {}", reasons.join("; "))
            }
        };
        let _ = writeln!(
            text,
            "{:width$}  {:11}  {state}",
            stage.name,
            stage.kind.name(),
            width = width.unwrap_or(0)
        );
    }
    let cached = plan.stages().len() - to_run;
    let _ = writeln!(text, "{to_run} to run, {cached} cached");
    print(&text)
}

/// Draws the stages.
pub(crate) fn graph(args: &GraphArgs) -> Result<(), Failure> {
    let plan = load(&args.pipeline)?;
    print(&match args.format {
        GraphFormat::Dot => plan.to_dot(),
        GraphFormat::Mermaid => plan.to_mermaid(),
    })
}
