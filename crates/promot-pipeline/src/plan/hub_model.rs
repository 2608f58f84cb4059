//! A base model of the Hugging Face Hub: which commit it is and how wide.

use promot_model::arch::ModelConfig;

use super::params::BaseModel;
use crate::diagnostic::{Diagnostics, Place};
use crate::hub::{Hub, HubError, Repository};

/// The model `owner/name` or `owner/name@revision`; weights are not fetched.
pub(super) fn hub_model(
    name: &str,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<BaseModel> {
    let found = || -> Result<_, HubError> {
        let repository = Repository::model(name)?;
        let hub = Hub::from_environment()?;
        let snapshot = hub.resolve(&repository)?;
        let config = hub.model_config(&snapshot)?;
        Ok((snapshot, config))
    };
    let (snapshot, config) = match found() {
        Ok(found) => found,
        Err(error) => {
            diagnostics.hub(place, "model", &error);
            return None;
        }
    };
    match ModelConfig::from_json(&config) {
        Ok(config) => Some(BaseModel::Hub {
            d_model: config.d_model(),
            digest: snapshot.digest(),
            snapshot,
        }),
        Err(error) => {
            let message = format!("`model`: hf:{}: {error}", snapshot.repository());
            diagnostics.push(place, message, None);
            None
        }
    }
}
