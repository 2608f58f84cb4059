//! Runs a plan: stage by stage, each artifact into the store, progress as events.

mod check;
mod effort;
mod error;
mod fetch;
mod loaded;
mod store;

use std::fs;
use std::path::Path;
use std::time::Instant;

use promot_core::{Event, EventSink, StopFlag};
use promot_model::train::TrainingBackend;

pub use check::check_inputs;
pub use effort::Effort;
pub use error::RunError;
pub use fetch::fetch_inputs;
pub use loaded::{LoadedModel, load_base};
pub use store::{StageDirectory, Store};

use crate::plan::{Plan, Stage, StageKind};
use crate::stages;

/// What every stage may use.
pub struct Context<'a, B> {
    /// The plan that is run.
    pub plan: &'a Plan,
    /// Computes, in the plan's precision.
    pub device: &'a B,
    /// Where artifacts are.
    pub store: &'a Store,
    /// Takes progress events.
    pub events: &'a dyn EventSink,
    /// Asks to stop.
    pub stop: &'a StopFlag,
}

impl<B> Context<'_, B> {
    /// The finished artifact of the stage called `name`.
    ///
    /// # Panics
    /// If the plan has no such stage, which compiling has ruled out.
    pub fn artifact(&self, name: &str) -> (&Stage, std::path::PathBuf) {
        let stage = self.plan.stage(name).expect("names were resolved");
        (stage, self.store.stage(stage).artifact())
    }
}

/// Which stages to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these and what they need; all if empty.
    pub only: Vec<String>,
    /// Run these again although their artifacts are stored; those stay until there are new ones.
    pub force: Vec<String>,
}

impl Selection {
    /// The stages to bring up to date, in order.
    pub fn stages<'p>(&self, plan: &'p Plan) -> Vec<&'p Stage> {
        if self.only.is_empty() {
            return plan.stages().collect();
        }
        let mut wanted: Vec<&str> = self.only.iter().map(String::as_str).collect();
        let mut next = 0;
        while next < wanted.len() {
            for input in plan.inputs(wanted[next]) {
                if !wanted.contains(&input) {
                    wanted.push(plan.stage(input).expect("an input").name.as_str());
                }
            }
            next += 1;
        }
        plan.stages()
            .filter(|stage| wanted.contains(&stage.name.as_str()))
            .collect()
    }
}

/// Brings the selected stages up to date.
///
/// # Errors
/// The first stage that fails, also of a device that failed; what is finished stays in the store.
pub fn run<B: TrainingBackend>(
    context: &Context<'_, B>,
    selection: &Selection,
) -> Result<(), RunError> {
    for stage in selection.stages(context.plan) {
        let directory = context.store.stage(stage);
        let mut again = selection.force.contains(&stage.name);
        // What is finished is read by as many runs as like; only work keeps others out.
        let mut lock = None;
        if again || !directory.is_finished() {
            lock = Some(directory.lock()?);
            // What a killed run had finished again, and not put in its place, it need not compute once more.
            again &= !directory.replace()?;
        }
        // Also if another run has finished it just now.
        if !again && directory.is_finished() {
            drop(lock);
            context.store.remember(context.plan, stage)?;
            context.events.emit(Event::StageCached {
                stage: stage.name.clone(),
            });
            continue;
        }
        if context.stop.is_requested() {
            return Err(RunError::Interrupted {
                stage: stage.name.clone(),
            });
        }
        let started = Instant::now();
        // What is stored stays as it is until there is something in its place.
        let working = match again {
            true => directory.again(),
            false => directory.clone(),
        };
        working.prepare()?;
        let outcome = match &stage.kind {
            StageKind::Data(params) => stages::data::run(params, stage, &working, context),
            StageKind::Mix(params) => stages::mix::run(params, stage, &working, context),
            StageKind::Pretrain(params) => stages::pretrain::run(params, stage, &working, context),
            StageKind::PromptTune(params) => {
                stages::prompt_tune::run(params, stage, &working, context)
            }
            StageKind::LoraTune(params) => stages::lora_tune::run(params, stage, &working, context),
            StageKind::ModelTune(params) => {
                stages::model_tune::run(params, stage, &working, context)
            }
            StageKind::JointTune(params) => {
                stages::joint_tune::run(params, stage, &working, context)
            }
            StageKind::RandomPrompt(params) => {
                stages::random_prompt::run(params, stage, &working, context)
            }
            StageKind::Eval(params) => stages::eval::run(params, stage, &working, context),
            StageKind::Curve(params) => stages::curve::run(params, stage, &working, context),
            StageKind::Gradients(params) => {
                stages::gradients::run(params, stage, &working, context)
            }
        };
        let whole = outcome.and_then(|()| Ok(context.device.check()?));
        whole.map_err(|error| error.in_stage(&stage.name))?;
        let effort = Effort::since(started);
        working.finish(stage, &context.device.kernels(), &effort)?;
        if again {
            directory.replace()?;
        }
        context.store.remember(context.plan, stage)?;
        context.events.emit(Event::StageFinished {
            stage: stage.name.clone(),
            seconds: effort.seconds,
        });
    }
    Ok(())
}

/// Makes a directory and everything above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), RunError> {
    fs::create_dir_all(path).map_err(|error| RunError::io(path, error))
}
