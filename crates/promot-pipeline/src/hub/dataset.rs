//! Files of a data set.

use std::path::PathBuf;

use glob::{MatchOptions, Pattern};
use serde::Serialize;

use super::{Hub, HubError, Repository, Snapshot, Watch};

/// Files of a data set at one commit; they may not be in the cache yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetFiles {
    snapshot: Snapshot,
    /// Paths in the repository, sorted.
    files: Vec<String>,
}

impl DatasetFiles {
    /// The data set at its commit.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Paths of the files in the repository, sorted.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Where the files are in the cache once they are fetched.
    pub fn paths(&self) -> Vec<PathBuf> {
        let below = |file: &String| self.snapshot.directory().join(file);
        self.files.iter().map(below).collect()
    }

    /// Fetches the files that are not in the cache.
    ///
    /// # Errors
    /// If a file cannot be had.
    pub fn fetch(&self, hub: &Hub, watch: &Watch<'_>) -> Result<(), HubError> {
        self.files
            .iter()
            .try_for_each(|file| hub.fetch(&self.snapshot, file, watch).map(drop))
    }
}

impl Hub {
    /// The files of a data set whose paths match `pattern`; none is fetched. `*` stands for a part
    /// of a name, `**` for any directories. The Parquet files that the hub makes of most data sets
    /// are in the revision `refs/convert/parquet`, for example `default/train/0000.parquet`.
    ///
    /// # Errors
    /// If nothing matches, or the data set cannot be had.
    pub fn dataset_files(
        &self,
        repository: &Repository,
        pattern: &str,
    ) -> Result<DatasetFiles, HubError> {
        let glob = Pattern::new(pattern).map_err(|error| HubError::Pattern {
            pattern: pattern.to_owned(),
            problem: error.msg.to_owned(),
        })?;
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        let snapshot = self.resolve(repository)?;
        let mut files = self.files(&snapshot)?;
        files.retain(|file| glob.matches_with(file, options));
        files.sort();
        if files.is_empty() {
            return Err(HubError::NothingMatches {
                repository: repository.to_string(),
                pattern: pattern.to_owned(),
            });
        }
        Ok(DatasetFiles { snapshot, files })
    }
}
