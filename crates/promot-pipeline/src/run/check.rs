//! Looks at every file a plan names before any stage starts.

use promot_data::source::load;
use promot_data::split::Split;
use promot_data::task::find_task;

use super::error::RunError;
use super::loaded::load_base;
use crate::plan::{BaseModel, DataSource, Plan, StageKind};

/// Reads the rows and the pretrained model that a plan names, so that what is wrong with them
/// shows before hours of work and not after. A model of the hub is read if it is here.
///
/// # Errors
/// The first file that cannot be used: with its row, or with the tensor in it.
pub fn check_inputs(plan: &Plan) -> Result<(), RunError> {
    let is_here = |base: &&BaseModel| match base {
        BaseModel::Hub { snapshot, .. } => snapshot.has_model(),
        BaseModel::Builtin { .. } | BaseModel::Directory { .. } => true,
    };
    if let Some(base) = plan.base.as_ref().filter(is_here) {
        load_base(base, plan.precision)?;
    }
    for stage in plan.stages() {
        let in_stage = |error: RunError| error.in_stage(&stage.name);
        match &stage.kind {
            StageKind::Data(params) => {
                check_rows(&params.task, &params.source, &[Split::Train]).map_err(in_stage)?;
            }
            StageKind::Eval(params) => {
                for task in &params.tasks {
                    let splits: &[Split] = if params.shots.iter().any(|&shots| shots > 0) {
                        &[Split::Train]
                    } else {
                        &[]
                    };
                    check_rows(&task.task, &task.source, splits).map_err(in_stage)?;
                    check_evaluated(&task.task, &task.source).map_err(in_stage)?;
                }
                for target in &params.targets {
                    let data = plan.stage(target).map(|stage| &stage.kind);
                    if let Some(StageKind::Data(data)) = data {
                        check_evaluated(&data.task, &data.source).map_err(in_stage)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_evaluated(task: &str, source: &DataSource) -> Result<(), RunError> {
    let split = find_task(task).expect("checked when compiled");
    check_rows(task, source, &[split.evaluation_split()])
}

/// Generated rows need no check.
fn check_rows(task: &str, source: &DataSource, splits: &[Split]) -> Result<(), RunError> {
    let task = find_task(task).expect("checked when compiled");
    if matches!(source, DataSource::Mini) {
        return Ok(());
    }
    for &split in splits {
        load(task, &source.source(), split, None)?;
    }
    Ok(())
}
