//! Weights in several files of a limited size, with the index that transformers writes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use promot_core::write_atomically;
use serde::Serialize;
use thiserror::Error;

use super::CheckpointError;
use super::directory::{SavePrecision, named_tensors};
use super::tensors::{NamedTensors, serialize_bf16, serialize_f32};
use crate::arch::Model;
use crate::backend::Backend;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The largest size of a file of weights, in bytes; written `500MB` or `5GB`, as in transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSize(u64);

/// Why a text is no size.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no size, expected a number with KB, MB, GB or TB such as 500MB")]
pub struct ShardSizeError(String);

impl ShardSize {
    /// A size in bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for ShardSize {
    /// 5 GB.
    fn default() -> Self {
        Self(5_000_000_000)
    }
}

impl FromStr for ShardSize {
    type Err = ShardSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ShardSizeError(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        // Decimal units: 1 MB is a million bytes.
        let units = [("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)];
        let (number, unit) = units
            .iter()
            .find_map(|&(suffix, unit)| Some((upper.strip_suffix(suffix)?, unit)))
            .ok_or_else(error)?;
        let number: f64 = number.trim().parse().map_err(|_| error())?;
        let bytes = number * unit;
        if !(bytes.is_finite() && bytes >= 1.0) {
            return Err(error());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ShardSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)];
        let bytes = self.0 as f64;
        let (name, unit) = units
            .into_iter()
            .find(|&(_, unit)| bytes >= unit)
            .unwrap_or(("KB", 1e3));
        write!(formatter, "{}{name}", bytes / unit)
    }
}

/// The index of a model in shards, keys in alphabetical order as transformers writes them.
#[derive(Serialize)]
struct Index {
    metadata: Metadata,
    weight_map: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Metadata {
    total_parameters: u64,
    total_size: u64,
}

/// Writes a model to a directory, which is made if need be: `model.safetensors`, or
/// `model-00001-of-0000N.safetensors` and their index if that file would be larger than `limit`.
///
/// A tensor that is larger gets a shard of its own. Weights that the directory held in other files
/// are removed, so that it never holds two models.
///
/// # Errors
/// If the file system refuses.
pub fn save_model_in_shards<B: Backend>(
    model: &Model<B>,
    directory: &Path,
    precision: SavePrecision,
    limit: ShardSize,
) -> Result<(), CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(|error| io(directory, error))?;
    let bytes_per_value = match precision {
        SavePrecision::F32 => 4,
        SavePrecision::Bf16 => 2,
    };
    let tensors = named_tensors(model.device(), model.parameters());
    let values: u64 = tensors.values().map(|(v, _)| v.len() as u64).sum();
    let mut index = Index {
        metadata: Metadata {
            total_parameters: values,
            total_size: values * bytes_per_value,
        },
        weight_map: BTreeMap::new(),
    };
    let shards = split(tensors, bytes_per_value, limit);
    let mut written = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        let path = directory.join(&name);
        write_atomically(&path, bytes).map_err(|error| io(&path, error))?;
        written.push(name);
        Ok::<(), CheckpointError>(())
    };
    for (number, shard) in shards.iter().enumerate() {
        let name = if shards.len() == 1 {
            SINGLE.to_owned()
        } else {
            format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len())
        };
        let bytes = match precision {
            SavePrecision::F32 => serialize_f32(shard)?,
            SavePrecision::Bf16 => serialize_bf16(shard)?,
        };
        for tensor in shard.keys() {
            index.weight_map.insert(tensor.clone(), name.clone());
        }
        write(name, &bytes)?;
    }
    if shards.len() > 1 {
        let mut json = serde_json::to_string_pretty(&index).expect("plain data serialises");
        json.push('\n');
        write(INDEX.to_owned(), json.as_bytes())?;
    }
    write(
        "config.json".to_owned(),
        model.config().to_json().as_bytes(),
    )?;
    remove_other_weights(directory, &written)
}

/// Tensors in their order, as many in a shard as its size allows.
fn split(tensors: NamedTensors, bytes_per_value: u64, limit: ShardSize) -> Vec<NamedTensors> {
    let mut shards = vec![NamedTensors::new()];
    let mut size = 0;
    for (name, tensor) in tensors {
        let bytes = tensor.0.len() as u64 * bytes_per_value;
        if size > 0 && size + bytes > limit.bytes() {
            shards.push(NamedTensors::new());
            size = 0;
        }
        size += bytes;
        let shard = shards.last_mut().expect("there is always one");
        shard.insert(name, tensor);
    }
    shards
}

fn remove_other_weights(directory: &Path, written: &[String]) -> Result<(), CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(|error| io(directory, error))? {
        let entry = entry.map_err(|error| io(directory, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_shard = name.starts_with("model-") && name.ends_with(".safetensors");
        let is_weights = is_shard || name == SINGLE || name == INDEX;
        if is_weights && !written.iter().any(|kept| kept == name) {
            fs::remove_file(entry.path()).map_err(|error| io(&entry.path(), error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use promot_core::Seed;

    use super::*;
    use crate::arch::{T5, T5Config};
    use crate::backend::Host;
    use crate::checkpoint::{load_model, model_to_bytes};

    fn model() -> Model<Host> {
        let json = br#"{"vocab_size": 12, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1,
            "num_heads": 2}"#;
        let config = T5Config::from_json(json).unwrap();
        T5::new(&Host::new(), config, false, Seed::new(1)).into()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn sizes_are_read_as_transformers_reads_them() {
        for (text, bytes) in [
            ("5GB", 5_000_000_000),
            ("500MB", 500_000_000),
            ("1.5kb", 1500),
            (" 2 TB ", 2_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ShardSize(bytes)), "{text}");
        }
        for text in ["", "5", "GB", "-1GB", "0MB", "5GiB", "nanGB", "1e400GB"] {
            let error = text.parse::<ShardSize>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is no size")),
                "{error}"
            );
        }
        for text in ["5GB", "1.5KB", "500MB"] {
            assert_eq!(text.parse::<ShardSize>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn shards_hold_what_fits_and_what_is_larger_stands_alone() {
        let sizes = [("a", 2), ("b", 2), ("c", 9), ("d", 1), ("e", 3), ("f", 1)];
        let tensors = sizes.map(|(name, len)| (name.to_owned(), (vec![0.0; len], vec![len])));
        let shards = split(NamedTensors::from(tensors), 1, ShardSize(4));
        let names: Vec<String> = shards
            .iter()
            .map(|shard| shard.keys().map(String::as_str).collect())
            .collect();
        assert_eq!(names, ["ab", "c", "de", "f"]);
    }

    #[test]
    fn a_model_in_shards_comes_back_and_replaces_one_in_a_single_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let saved = model();
        for (limit, precision) in [("5GB", SavePrecision::F32), ("1KB", SavePrecision::F32)] {
            save_model_in_shards(&saved, path, precision, limit.parse().unwrap()).unwrap();
            let loaded = load_model(&Host::new(), path).unwrap();
            assert_eq!(
                model_to_bytes(&loaded, precision).unwrap(),
                model_to_bytes(&saved, precision).unwrap()
            );
        }
        let files = names(path);
        assert!(!files.contains(&SINGLE.to_owned()), "{files:?}");
        let shards: Vec<&String> = files.iter().filter(|n| n.starts_with("model-")).collect();
        assert!(shards.len() > 1, "{files:?}");
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join(INDEX)).unwrap()).unwrap();
        let parameters = index["metadata"]["total_parameters"].as_u64().unwrap();
        assert_eq!(index["metadata"]["total_size"], parameters * 4);
        let last = format!("model-{0:05}-of-{0:05}.safetensors", shards.len());
        assert_eq!(index["weight_map"]["shared.weight"], last);

        // Half the size, and in one file again.
        save_model_in_shards(&saved, path, SavePrecision::Bf16, ShardSize::default()).unwrap();
        assert_eq!(names(path), ["config.json", SINGLE]);
    }
}
