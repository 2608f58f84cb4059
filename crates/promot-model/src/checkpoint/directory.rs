//! A model as a Hugging Face directory: `config.json` and `model.safetensors`, also in shards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use promot_core::{without_bom, write_atomically};

use super::CheckpointError;
use super::tensors::{NamedTensors, parse_weights, serialize_bf16, serialize_f32};
use crate::arch::{Model, ModelConfig};
use crate::backend::Backend;
use crate::param::ParameterSet;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavePrecision {
    /// As they are.
    F32,
    /// Rounded to nearest even; half the size.
    Bf16,
}

/// Reads a model from a directory with `config.json` and `model.safetensors`, or
/// `model.safetensors.index.json` and the shards it names.
///
/// # Errors
/// If a file is missing, damaged, does not fit the configuration, or has a value that is not finite; the
/// error names the file and the tensor.
pub fn load_model<B: Backend>(device: &B, directory: &Path) -> Result<Model<B>, CheckpointError> {
    let config_path = directory.join("config.json");
    let config = ModelConfig::from_json(&read(&config_path)?)
        .map_err(|error| CheckpointError::from(error).in_file(&config_path))?;
    let single = directory.join("model.safetensors");
    let index = directory.join("model.safetensors.index.json");
    let (tensors, path) = if !single.exists() && index.exists() {
        (read_shards(directory, &index)?, index)
    } else {
        (
            parse_weights(&read(&single)?).map_err(|error| error.in_file(&single))?,
            single,
        )
    };
    Model::from_tensors(device, config, tensors).map_err(|error| error.in_file(path))
}

/// Reads a model from the bytes of `config.json` and `model.safetensors`.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_from_bytes<B: Backend>(
    device: &B,
    config: &[u8],
    tensors: &[u8],
) -> Result<Model<B>, CheckpointError> {
    Model::from_tensors(
        device,
        ModelConfig::from_json(config)?,
        parse_weights(tensors)?,
    )
}

/// Writes a model to a directory, which is made if need be.
///
/// # Errors
/// If the file system refuses; files that were there stay whole.
pub fn save_model<B: Backend>(
    model: &Model<B>,
    directory: &Path,
    precision: SavePrecision,
) -> Result<(), CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(|error| io(directory, error))?;
    let (config, tensors) = model_to_bytes(model, precision)?;
    for (name, bytes) in [("model.safetensors", tensors), ("config.json", config)] {
        let path = directory.join(name);
        write_atomically(&path, &bytes).map_err(|error| io(&path, error))?;
    }
    Ok(())
}

/// A model as the bytes of `config.json` and `model.safetensors`.
///
/// # Errors
/// If the tensors cannot be represented, which a model's always can.
pub fn model_to_bytes<B: Backend>(
    model: &Model<B>,
    precision: SavePrecision,
) -> Result<(Vec<u8>, Vec<u8>), CheckpointError> {
    let tensors = named_tensors(model.device(), model.parameters());
    let tensors = match precision {
        SavePrecision::F32 => serialize_f32(&tensors)?,
        SavePrecision::Bf16 => serialize_bf16(&tensors)?,
    };
    Ok((model.config().to_json().into_bytes(), tensors))
}

/// Host copies of all parameters, with the dimensions they have in a checkpoint.
pub(crate) fn named_tensors<B: Backend>(device: &B, parameters: &ParameterSet<B>) -> NamedTensors {
    let dims = |(rows, columns): (usize, usize), name: &str| {
        // Normalisation scales are vectors, `layer_norm`, `layernorm` or `norm`.
        if name.ends_with("norm.weight") {
            vec![columns]
        } else {
            vec![rows, columns]
        }
    };
    parameters
        .iter()
        .map(|p| {
            let values = device.download(B::slice(&p.tensor));
            (p.name.clone(), (values, dims(B::shape(&p.tensor), &p.name)))
        })
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    })
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: std::collections::BTreeMap<String, String>,
}

fn read_shards(directory: &Path, index_path: &Path) -> Result<NamedTensors, CheckpointError> {
    let index: ShardIndex = serde_json::from_slice(without_bom(&read(index_path)?))
        .map_err(|error| CheckpointError::Json(error.to_string()).in_file(index_path))?;
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    let mut tensors = NamedTensors::new();
    for shard in shards {
        // A name, not a path: an index cannot point outside of its directory.
        if shard.contains(['/', '\\']) || shard.as_str() == ".." {
            let message = format!("shard name {shard:?} is not a plain file name");
            return Err(CheckpointError::Json(message).in_file(index_path));
        }
        let path = directory.join(shard);
        tensors.extend(parse_weights(&read(&path)?).map_err(|error| error.in_file(&path))?);
    }
    match index
        .weight_map
        .keys()
        .find(|name| !tensors.contains_key(*name))
    {
        Some(name) => {
            Err(CheckpointError::MissingTensor { name: name.clone() }.in_file(index_path))
        }
        None => Ok(tensors),
    }
}

#[cfg(test)]
mod tests;
