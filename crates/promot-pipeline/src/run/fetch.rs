//! Brings here what a plan names and is not here yet.

use super::error::RunError;
use crate::hub::{Hub, Watch};
use crate::plan::{BaseModel, Plan};

/// Fetches the pretrained model of a plan if it is one of the Hugging Face Hub; silent if all its
/// files are in the cache.
///
/// # Errors
/// If a file cannot be had, or the user stops it; what has arrived is kept.
pub fn fetch_base(plan: &Plan, watch: &Watch<'_>) -> Result<(), RunError> {
    if let Some(BaseModel::Hub { snapshot, .. }) = &plan.base {
        Hub::from_environment()?.fetch_model(snapshot, watch)?;
    }
    Ok(())
}
