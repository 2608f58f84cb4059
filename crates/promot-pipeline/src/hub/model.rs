//! Which files of a repository are a model, and how they come here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use promot_core::{Event, StopFlag, without_bom};
use serde::Deserialize;

use super::file::is_path_inside;
use super::{Hub, HubError, Repository, Snapshot, Watch};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Without these there is no model.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// For other tools that look into the directory.
const OPTIONAL: [&str; 2] = ["generation_config.json", "tokenizer_config.json"];
/// Descriptions are read as a whole: more bytes than these are not taken for one.
const DESCRIPTION_LIMIT: u64 = 128 << 20;

impl Hub {
    /// The content of a model's `config.json`, fetched if need be; no weights are.
    ///
    /// # Errors
    /// If it cannot be had, or if what is known of the repository shows that it is no model that
    /// can be read.
    pub fn model_config(&self, snapshot: &Snapshot) -> Result<Vec<u8>, HubError> {
        if let Some(files) = snapshot.files() {
            check_files(snapshot.repository(), files)?;
        }
        let watch = Watch {
            events: &|_: Event| {},
            stop: &StopFlag::new(),
        };
        let path = self.fetch_at_most(DESCRIPTION_LIMIT, snapshot, "config.json", &watch)?;
        fs::read(&path).map_err(HubError::io(&path))
    }

    /// All files of a model, in the directory that is returned: configuration, tokenizer, and
    /// weights in one file or in shards. Silent if they are in the cache.
    ///
    /// # Errors
    /// If one cannot be had; those before it, and what has arrived of it, stay in the cache.
    pub fn fetch_model(&self, snapshot: &Snapshot, watch: &Watch<'_>) -> Result<PathBuf, HubError> {
        let directory = snapshot.directory().to_owned();
        if has_model(&directory) {
            return Ok(directory);
        }
        let repository = snapshot.repository();
        if self.offline && snapshot.files().is_none() {
            let here = |file: &&str| directory.join(file).is_file();
            let missing = REQUIRED.into_iter().find(|file| !here(file));
            return Err(self.not_cached(repository, missing.unwrap_or(WEIGHTS)));
        }
        let files = self.files(snapshot)?;
        check_files(repository, &files)?;
        let has = |name: &str| files.iter().any(|file| file == name);
        for file in REQUIRED {
            self.fetch_at_most(DESCRIPTION_LIMIT, snapshot, file, watch)?;
        }
        for file in OPTIONAL.into_iter().filter(|file| has(file)) {
            self.fetch_at_most(DESCRIPTION_LIMIT, snapshot, file, watch)?;
        }
        if has(WEIGHTS) {
            self.fetch(snapshot, WEIGHTS, watch)?;
            return Ok(directory);
        }
        let index = self.fetch_at_most(DESCRIPTION_LIMIT, snapshot, INDEX, watch)?;
        for shard in shards(&index)? {
            if !has(&shard) {
                return Err(HubError::MissingFile {
                    repository: repository.to_string(),
                    file: shard,
                });
            }
            self.fetch(snapshot, &shard, watch)?;
        }
        Ok(directory)
    }
}

impl Snapshot {
    /// Whether all files of a model are in the cache.
    pub fn has_model(&self) -> bool {
        has_model(self.directory())
    }
}

fn has_model(directory: &Path) -> bool {
    let here = |file: &str| directory.join(file).is_file();
    let has_shards = || {
        shards(&directory.join(INDEX)).is_ok_and(|shards| shards.iter().all(|shard| here(shard)))
    };
    REQUIRED.into_iter().all(here) && (here(WEIGHTS) || has_shards())
}

/// Whether a repository with these files is a model that can be read.
fn check_files(repository: &Repository, files: &[String]) -> Result<(), HubError> {
    let has = |name: &str| files.iter().any(|file| file == name);
    let missing = |file: &str| HubError::MissingFile {
        repository: repository.to_string(),
        file: file.to_owned(),
    };
    if !has("config.json") {
        return Err(missing("config.json"));
    }
    if !has(WEIGHTS) && !has(INDEX) {
        let is_pickle = |file: &&String| {
            let name = file.as_str();
            name.starts_with("pytorch_model") && !name.contains('/')
        };
        return Err(match files.iter().find(is_pickle) {
            Some(file) => HubError::OnlyPickles {
                repository: repository.to_string(),
                file: file.clone(),
            },
            None => missing(WEIGHTS),
        });
    }
    if !has("tokenizer.json") {
        return Err(missing("tokenizer.json"));
    }
    Ok(())
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>, HubError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let file = INDEX.to_owned();
    let size = fs::metadata(index).map_err(HubError::io(index))?.len();
    if size > DESCRIPTION_LIMIT {
        return Err(HubError::TooLarge {
            file,
            size,
            limit: DESCRIPTION_LIMIT,
        });
    }
    let bytes = fs::read(index).map_err(HubError::io(index))?;
    let index: Index = match serde_json::from_slice(without_bom(&bytes)) {
        Ok(index) => index,
        Err(error) => {
            let problem = error.to_string();
            return Err(HubError::Index { file, problem });
        }
    };
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    // Shards lie beside their index.
    match shards
        .iter()
        .find(|shard| !is_path_inside(shard) || shard.contains('/'))
    {
        Some(name) => Err(HubError::UnsafeName {
            name: name.clone(),
            file,
        }),
        None => Ok(shards),
    }
}
