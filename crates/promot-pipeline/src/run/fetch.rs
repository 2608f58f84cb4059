//! Brings here what a plan names and is not here yet.

use super::error::RunError;
use crate::hub::{Hub, Watch};
use crate::plan::{BaseModel, DataSource, Plan, StageKind};

/// Fetches what a plan names of the Hugging Face Hub, the pretrained model and files of rows; silent
/// if all of it is in the cache.
///
/// # Errors
/// If a file cannot be had, or the user stops it; what has arrived is kept.
pub fn fetch_inputs(plan: &Plan, watch: &Watch<'_>) -> Result<(), RunError> {
    if let Some(BaseModel::Hub { snapshot, .. }) = &plan.base {
        Hub::from_environment()?.fetch_model(snapshot, watch)?;
    }
    for stage in plan.stages() {
        match (&stage.kind, stage.kind.evaluation()) {
            (StageKind::Data(params), _) => fetch_rows(&params.source, watch)?,
            (_, Some(params)) => {
                for task in &params.tasks {
                    fetch_rows(&task.source, watch)?;
                }
            }
            (kind, None) => {
                for task in kind
                    .train()
                    .into_iter()
                    .flat_map(|train| train.foreign_tasks())
                {
                    fetch_rows(&task.source, watch)?;
                }
            }
        }
    }
    Ok(())
}

fn fetch_rows(source: &DataSource, watch: &Watch<'_>) -> Result<(), RunError> {
    let DataSource::Files(files) = source else {
        return Ok(());
    };
    let splits = [&files.train, &files.validation, &files.test];
    for files in splits.into_iter().flatten().flat_map(|set| &set.hub) {
        files.fetch(&Hub::from_environment()?, watch)?;
    }
    Ok(())
}
