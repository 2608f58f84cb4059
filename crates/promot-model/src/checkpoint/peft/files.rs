//! The two files of an adapter directory, and the model that it says it belongs to.

use std::fs;
use std::path::Path;

use promot_core::{without_bom, write_atomically};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::CheckpointError;
use super::super::tensors::{NamedTensors, parse_weights, serialize_f32};
use crate::arch::ModelConfig;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// The release of PEFT whose keys are written.
pub(super) const PEFT_VERSION: &str = "0.21.2";

/// The model that an adapter was tuned on, as PEFT describes it.
#[derive(Default, Deserialize)]
pub(super) struct Base {
    #[serde(default)]
    pub(super) base_model_name_or_path: Option<String>,
    #[serde(default)]
    pub(super) num_attention_heads: Option<usize>,
    #[serde(default)]
    pub(super) num_layers: Option<usize>,
    #[serde(default)]
    pub(super) task_type: Option<String>,
}

impl Base {
    /// A model of this configuration that others know as `name`.
    pub(super) fn new(config: &ModelConfig, name: &str) -> Self {
        let task_type = if config.is_encoder_decoder() {
            "SEQ_2_SEQ_LM"
        } else {
            "CAUSAL_LM"
        };
        Self {
            base_model_name_or_path: Some(name.to_owned()),
            num_attention_heads: Some(config.num_heads()),
            num_layers: Some(config.num_layers()),
            task_type: Some(task_type.to_owned()),
        }
    }

    /// What the adapter in `directory` says, but for the name if there is another one.
    pub(super) fn of_adapter(
        directory: &Path,
        name: Option<&str>,
    ) -> Result<Self, CheckpointError> {
        let mut base: Self = read_config(directory)?;
        if let Some(name) = name {
            base.base_model_name_or_path = Some(name.to_owned());
        }
        Ok(base)
    }
}

/// Reads `adapter_config.json`.
pub(super) fn read_config<T: DeserializeOwned>(directory: &Path) -> Result<T, CheckpointError> {
    let path = directory.join(CONFIG);
    serde_json::from_slice(without_bom(&read(&path)?))
        .map_err(|error| CheckpointError::Json(error.to_string()).in_file(&path))
}

/// What is wrong with `adapter_config.json`.
pub(super) fn config_error(directory: &Path, message: String) -> CheckpointError {
    CheckpointError::Adapter(message).in_file(directory.join(CONFIG))
}

/// Reads `adapter_model.safetensors` and makes something of it; errors name the file.
pub(super) fn read_tensors<T>(
    directory: &Path,
    make: impl FnOnce(NamedTensors) -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    let path = directory.join(WEIGHTS);
    parse_weights(&read(&path)?)
        .and_then(make)
        .map_err(|error| error.in_file(&path))
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Writes both files; those that were there stay whole.
pub(super) fn write(
    directory: &Path,
    config: &impl Serialize,
    tensors: &NamedTensors,
) -> Result<(), CheckpointError> {
    let mut config = serde_json::to_string_pretty(config).expect("plain data serialises");
    config.push('\n');
    fs::create_dir_all(directory).map_err(|error| io(directory, error))?;
    let files = [
        (WEIGHTS, serialize_f32(tensors)?),
        (CONFIG, config.into_bytes()),
    ];
    for (name, bytes) in files {
        let path = directory.join(name);
        write_atomically(&path, &bytes).map_err(|error| io(&path, error))?;
    }
    Ok(())
}
