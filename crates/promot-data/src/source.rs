//! Where rows come from: the mini world, or files in one of several formats.

mod delimited;
mod jsonl;
mod mapping;
mod parquet;
mod rows;

use std::path::PathBuf;

use thiserror::Error;

pub use mapping::Mapping;

use crate::mini;
use crate::record::Record;
use crate::split::Split;
use crate::task::Task;
use rows::Rows;

/// No row of text is longer; what is beyond is another kind of file, or a damaged one.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Where a data set's rows come from. A further format is a variant of [`FileFormat`] and a file
/// beside; a place from which files are fetched first ends in [`Source::Files`], too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Generated rows of the mini world.
    Mini,
    /// Files for each split that is needed.
    Files(FileSource),
}

/// Files with rows, and which of their columns are a task's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// What the files are.
    pub format: FileFormat,
    /// The files of each split.
    pub files: SplitFiles,
    /// From columns to fields.
    pub mapping: Mapping,
}

/// What a file with rows looks like inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// JSON Lines: an object a line.
    Jsonl,
    /// Comma-separated values (RFC 4180) with the columns' names in the first line.
    Csv,
    /// Tab-separated values with the columns' names in the first line. There are no quotes.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Csv, Self::Tsv, Self::Parquet];

    /// The name in pipeline files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
        }
    }
}

/// The files of each split, in the order in which they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitFiles {
    /// Rows to train on.
    pub train: Vec<PathBuf>,
    /// Validation rows.
    pub validation: Vec<PathBuf>,
    /// Test rows.
    pub test: Vec<PathBuf>,
}

impl SplitFiles {
    /// The files of a split.
    pub fn of(&self, split: Split) -> &[PathBuf] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// Why rows cannot be had.
#[derive(Debug, Error)]
pub enum DataError {
    /// No file is given for a split.
    #[error("no {split} file is given for task {task}")]
    NoFile {
        /// The task.
        task: String,
        /// The split.
        split: Split,
        /// The name of the files' format.
        format: &'static str,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A line that is no row.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is the matter.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A row of a file without lines.
    #[error("{}: row {row}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: usize,
        /// What is the matter.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// No rows at all.
    #[error("{what} has no rows")]
    Empty {
        /// What has none.
        what: String,
    },
    /// Too few rows for some of them to be held back.
    #[error("{rows} training rows, and a tenth of them is held back for choosing checkpoints")]
    TooFew {
        /// How many there are.
        rows: usize,
    },
}

impl DataError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { split, format, .. } => Some(format!(
                "add `{split}: FILE` to the data stage's {format} source"
            )),
            Self::File { hint, .. } | Self::Line { hint, .. } | Self::Row { hint, .. } => {
                hint.clone()
            }
            Self::TooFew { .. } => Some("give the data stage at least 10 rows".to_owned()),
            Self::Io { .. } | Self::Empty { .. } => None,
        }
    }
}

/// Up to `limit` rows of a split, each checked to have the fields of `task`.
///
/// # Errors
/// If the source has no such split, or a row cannot be used; the error names file and line, or
/// row.
pub fn load(
    task: &dyn Task,
    source: &Source,
    split: Split,
    limit: Option<usize>,
) -> Result<Vec<Record>, DataError> {
    let (records, what) = match source {
        Source::Mini => {
            let default = mini::DEFAULT_ROWS.iter().find(|(s, _)| *s == split);
            let default = default.map_or(usize::MAX, |&(_, rows)| rows);
            let records = mini::rows(task.name(), split, limit.unwrap_or(default));
            (
                records,
                format!("the {split} split of task {}", task.name()),
            )
        }
        Source::Files(source) => {
            let files = source.files.of(split);
            if files.is_empty() {
                return Err(DataError::NoFile {
                    task: task.name().to_owned(),
                    split,
                    format: source.format.name(),
                });
            }
            let mut rows = Rows::new(task, &source.mapping, limit);
            for path in files {
                match source.format {
                    FileFormat::Jsonl => jsonl::read(path, &mut rows)?,
                    FileFormat::Csv => delimited::read(path, delimited::CSV, &mut rows)?,
                    FileFormat::Tsv => delimited::read(path, delimited::TSV, &mut rows)?,
                    FileFormat::Parquet => parquet::read(path, &mut rows)?,
                }
            }
            let names: Vec<String> = files
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            (rows.into_records(), names.join(", "))
        }
    };
    if records.is_empty() {
        return Err(DataError::Empty { what });
    }
    Ok(records)
}

#[cfg(test)]
mod tests;
