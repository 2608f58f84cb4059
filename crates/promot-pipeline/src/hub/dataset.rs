//! Files of a data set.

use std::path::PathBuf;

use glob::{MatchOptions, Pattern};

use super::{Hub, HubError, Repository, Watch};

/// The files of a data set whose paths match `pattern`, in the order of their paths, fetched if
/// need be. `*` stands for a part of a name, `**` for any directories. The Parquet files that the
/// hub makes of most data sets are in the revision `refs/convert/parquet`, for example
/// `default/train/0000.parquet`.
///
/// # Errors
/// If nothing matches, or a file cannot be had.
pub fn dataset_files(
    hub: &Hub,
    repository: &Repository,
    pattern: &str,
    watch: &Watch<'_>,
) -> Result<Vec<PathBuf>, HubError> {
    let glob = Pattern::new(pattern).map_err(|error| HubError::Pattern {
        pattern: pattern.to_owned(),
        problem: error.msg.to_owned(),
    })?;
    let options = MatchOptions {
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    let snapshot = hub.resolve(repository)?;
    let mut files = hub.files(&snapshot)?;
    files.retain(|file| glob.matches_with(file, options));
    files.sort();
    if files.is_empty() {
        return Err(HubError::NothingMatches {
            repository: repository.to_string(),
            pattern: pattern.to_owned(),
        });
    }
    files
        .iter()
        .map(|file| hub.fetch(&snapshot, file, watch))
        .collect()
}
