//! Looks at every file a plan names before any stage starts.

use promot_data::source::load;
use promot_data::split::Split;
use promot_data::task::Task;
use promot_model::backend::Host;

use super::error::RunError;
use super::loaded::load_base;
use crate::plan::{BaseModel, DataSource, Plan, StageKind};
use crate::stages::training_rows;

/// Reads the rows and the pretrained model that a plan names, so that what is wrong with them
/// shows before hours of work and not after. What is of the hub is read if it is here.
///
/// # Errors
/// The first file that cannot be used: with its row, or with the tensor in it.
pub fn check_inputs(plan: &Plan) -> Result<(), RunError> {
    let is_here = |base: &&BaseModel| match base {
        BaseModel::Hub { snapshot, .. } => snapshot.has_model(),
        BaseModel::Builtin { .. } | BaseModel::Directory { .. } => true,
    };
    if let Some(base) = plan.base.as_ref().filter(is_here) {
        load_base(base, &Host::with_precision(plan.precision))?;
    }
    for stage in plan.stages() {
        let in_stage = |error: RunError| error.in_stage(&stage.name);
        match (&stage.kind, stage.kind.evaluation()) {
            (StageKind::Data(params), _) => {
                if is_file(&params.source) && params.source.is_here(Split::Train) {
                    training_rows(params, plan).map_err(|error| in_stage(error.into()))?;
                }
            }
            (_, Some(params)) => {
                for evaluated in &params.tasks {
                    let task = plan.task(&evaluated.task);
                    let splits: &[Split] = if params.shots.iter().any(|&shots| shots > 0) {
                        &[Split::Train]
                    } else {
                        &[]
                    };
                    check_rows(&*task, &evaluated.source, splits).map_err(in_stage)?;
                    check_evaluated(&*task, &evaluated.source).map_err(in_stage)?;
                }
                for target in &params.targets {
                    let data = plan.stage(target).map(|stage| &stage.kind);
                    if let Some(StageKind::Data(data)) = data {
                        check_evaluated(&*plan.task(&data.task), &data.source).map_err(in_stage)?;
                    }
                }
            }
            (kind, None) => {
                for foreign in kind
                    .train()
                    .into_iter()
                    .flat_map(|train| train.foreign_tasks())
                {
                    let task = plan.task(&foreign.task);
                    check_rows(&*task, &foreign.source, &[Split::Train]).map_err(in_stage)?;
                }
            }
        }
    }
    Ok(())
}

fn check_evaluated(task: &dyn Task, source: &DataSource) -> Result<(), RunError> {
    check_rows(task, source, &[task.evaluation_split()])
}

/// Generated rows need no check.
fn is_file(source: &DataSource) -> bool {
    !matches!(source, DataSource::Mini)
}

fn check_rows(task: &dyn Task, source: &DataSource, splits: &[Split]) -> Result<(), RunError> {
    let splits = splits.iter().filter(|&&split| source.is_here(split));
    for &split in splits.filter(|_| is_file(source)) {
        load(task, &source.source(), split, None)?;
    }
    Ok(())
}
